/* One processor level: what Python calls, for models of either type, and the table of it. */
#include "_level.hpp"
#include "_bank.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Pointers to void and to T are the same numbers; Python's side, which has filled the struct, is
 * compiled apart. */
template <class T>
LOSSOPT_INLINE Plan<T> &typed(AnyPlan *plan)
{
    return *reinterpret_cast<Plan<T> *>(plan);
}

/* What `work` returns, or -1 after an exception in Python. */
template <class Work>
LOSSOPT_INLINE ptrdiff_t guarded(Work work)
{
    try {
        return work();
    } catch (const Interrupted &) {
        return -1;
    }
}

static bool any_one_by_one(AnyPlan *plan)
{
    return plan->single ? one_by_one(typed<float>(plan)) : one_by_one(typed<double>(plan));
}

static ptrdiff_t run(AnyPlan *plan, int path, ptrdiff_t first_epoch, ptrdiff_t n_epochs,
                     const double *rates, ptrdiff_t rate_step, double *history)
{
    return guarded([=] {
        if (plan->single)
            return run_epochs(typed<float>(plan), path, first_epoch, n_epochs, rates, rate_step,
                              history);
        return run_epochs(typed<double>(plan), path, first_epoch, n_epochs, rates, rate_step,
                          history);
    });
}

static int run_bank(AnyMember *members, ptrdiff_t n_members, ptrdiff_t first_epoch,
                    ptrdiff_t n_epochs)
{
    return (int)guarded([=] {
        if (members[0].plan->single)
            bank_epochs(reinterpret_cast<Member<float> *>(members), n_members, first_epoch,
                        n_epochs);
        else
            bank_epochs(reinterpret_cast<Member<double> *>(members), n_members, first_epoch,
                        n_epochs);
        return 0;
    });
}

static int evaluate(AnyPlan *plan, double *gradient, double *objective)
{
    return (int)guarded([=] {
        *objective = plan->single ? full_objective(typed<float>(plan), gradient)
                                  : full_objective(typed<double>(plan), gradient);
        return 0;
    });
}

static void fill_thresholds(AnyPlan *plan)
{
    plan->single ? thresholds(typed<float>(plan)) : thresholds(typed<double>(plan));
}

static void fill_plan_powers(AnyPlan *plan, ptrdiff_t n_steps, double *room)
{
    fill_powers(plan->lazy.tables, *plan->catch_up, plan->step_param, n_steps, room);
}

static ptrdiff_t count_active(AnyPlan *plan)
{
    return plan->single ? mean_active(typed<float>(plan)) : mean_active(typed<double>(plan));
}

static void call_loss(const Loss *loss, bool single, ptrdiff_t n, ptrdiff_t k, const void *y,
                      const void *raw, const double *param, void *value, void *gradient)
{
    if (single)
        loss->loop.for_float(n, k, (const float *)y, (const float *)raw, param, (float *)value,
                             (float *)gradient);
    else
        loss->loop.for_double(n, k, (const double *)y, (const double *)raw, param, (double *)value,
                              (double *)gradient);
}

static void activate(const Activation *activation, bool single, ptrdiff_t n, void *z)
{
    if (single)
        activation->forward.for_float(n, (const float *)z, (float *)z);
    else
        activation->forward.for_double(n, (const double *)z, (double *)z);
}

#define LOSSOPT_TEXT_(name) #name
#define LOSSOPT_TEXT(name) LOSSOPT_TEXT_(name)

extern const Level level = {
    LOSSOPT_TEXT(LOSSOPT_LEVEL), losses, optimizers, catch_ups, activations, call_loss,
    activate, any_one_by_one, run, run_bank, evaluate, fill_thresholds, fill_plan_powers,
    count_active, moments, dual_sweeps, dual_predict, dual_pull, dual_squares,
    sign_search, lagrangian_step, column_squares, row_predictions, row_sums,
    row_grams, interior_point,
};

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
