/* What the loops take: plain structs, which Trainer fills and the loops of one processor level read.
 *
 * T is float or double, the type of X.  Trainer, which does not know it when it is compiled, fills
 * the same structs of T = void.
 */
#ifndef LOSSOPT_PLAN_HPP
#define LOSSOPT_PLAN_HPP

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define LOSSOPT_INLINE static inline __attribute__((always_inline))
#define LOSSOPT_NOINLINE static __attribute__((noinline))
#else
#define LOSSOPT_INLINE static inline
#define LOSSOPT_NOINLINE static
#endif

namespace lossopt {

/* Rows whose gradients are formed before the next rows are read: they stay in the cache between the
 * two passes over them. */
constexpr ptrdiff_t CHUNK_ROWS = 256, CHUNK_BYTES = 262144;
/* Rows of a batch, at most, whose sparse steps leave out the features that they do not have. */
constexpr ptrdiff_t SPARSE_ROWS = 4096;
/* Multiply-adds between two looks at pending signals: some hundredths of a second. */
constexpr ptrdiff_t SIGNAL_WORK = 10000000;
constexpr ptrdiff_t MOST_LAYERS = 1024;

/* How the metric T maps the optimizer's coordinates u to the extended weights (w, intercept). */
enum { METRIC_NONE, METRIC_DIAGONAL, METRIC_FULL };
/* The path of an epoch over sparse rows; see _sparse.hpp. */
enum { PATH_DENSE, PATH_DIRECT, PATH_LAZY };
/* How a batch's targets are made from the stored ones. */
enum { TARGET_VALUES, TARGET_ONE_VS_REST, TARGET_CLASS };

/* A function for doubles and the same one for floats. */
template <template <class> class Function>
struct Both {
    Function<double> for_double;
    Function<float> for_float;
};

template <class T, template <class> class Function>
LOSSOPT_INLINE Function<T> pick(const Both<Function> &both)
{
    if constexpr (sizeof(T) == sizeof(double))
        return both.for_double;
    else
        return both.for_float;
}

/* Sums over the steps of one epoch, for steps that features skip (see _catch_up.cpp).  Index i of a
 * sum stands for what comes before step i. */
struct Tables {
    bool constant;
    double rate;
    /* Sums of the rates and of their squares. */
    double *sum, *square_sum;
    /* For momentum in an adaptive method: sums, from step i on, of what a unit of it still moves, and
     * of what epsilon takes off that; by what each shrinks from one step to the next. */
    double *tail, *trim, ratio, trim_ratio;
    /* Powers, by the number of steps: of the two rates of forgetting (the second's square root, for
     * squares), of `ratio` and of `trim_ratio`. */
    double *forget, *forget_half, *shrink, *shrink_trim;
    /* The share of so many steps' gradients that has become a move, when momentum starts from none. */
    double *grown;
    /* The share of a momentum's moves in so many steps that has been made on their average. */
    double *late;
    /* Products of the decays by a decoupled weight decay. */
    double *kept, *kept_inverse;
    /* Square roots of 1 - beta_2^t. */
    double *unbias;
};
constexpr ptrdiff_t N_TABLES = 13;

template <class T>
using LossLoop = void (*)(ptrdiff_t n, ptrdiff_t k, const T *y, const T *raw, const double *param,
                          T *value, T *gradient);
template <class T>
using LossAt = T (*)(T y, T z, const double *param, T *value);
template <class T>
using StepLoop = void (*)(ptrdiff_t n, ptrdiff_t row, T *w, const T *g, const T *l1, T *state,
                          int64_t t, double rate, const double *param);
template <class T>
using CatchUpLoop = void (*)(ptrdiff_t n, T *w, T *state, ptrdiff_t size, const T *l2_slope,
                             const int32_t *lag, ptrdiff_t now, const Tables *tables,
                             const double *param);
template <class T>
using ActivationLoop = void (*)(ptrdiff_t n, const T *x, T *out);
template <class T>
using Gemm = void (*)(const char *op_a, const char *op_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t p,
                      T scale, const T *A, ptrdiff_t lda, const T *B, ptrdiff_t ldb, T keep, T *C,
                      ptrdiff_t ldc);

/* A loss: over a batch, and, unless it is a joint loss of all raw predictions of a row, at one. */
struct Loss {
    const char *name;
    Both<LossLoop> loop;
    Both<LossAt> at;
    bool joint;
};

/* An optimizer's update. */
struct Optimizer {
    const char *name;
    Both<StepLoop> step;
};

/* What an optimizer does in the steps that a feature skips, and what its tables are made of. */
struct CatchUp {
    const char *name;
    Both<CatchUpLoop> loop;
    /* 1: param[0] is a rate of forgetting; 2: and so is param[1], as in Adam; 3: and param[4] is a
     * decoupled weight decay. */
    int forgets;
    /* Nanoseconds for a parameter that a batch has, its copies included. */
    double cost;
};

/* An activation of hidden layers: forward(n, z, a), and backward(n, kept, g), which multiplies g by
 * the derivative.  What is kept is a, or z where `keeps_input`.  Where `is_0_or_line`, a is 0 with
 * derivative 0, or above 0 with derivative 1. */
struct Activation {
    const char *name;
    Both<ActivationLoop> forward, backward;
    bool keeps_input, is_0_or_line;
};

/* What the loops call in Python; all but gemm return -1 after an exception.  blame_loss raises one:
 * the loss is not a number where raw predictions are finite. */
struct Host {
    int (*check_signals)();
    /* The loss of the model `custom` for n rows whose numbers are in the buffers of the model
     * `reader`, targets first; raw, value and gradient are places in them. */
    int (*custom_loss)(void *custom, void *reader, ptrdiff_t n, ptrdiff_t raw, ptrdiff_t value,
                       ptrdiff_t gradient);
    int (*blame_loss)(void *custom);
    int (*custom_step)(void *custom, ptrdiff_t layer, int64_t t, double rate);
    /* Who wants to see each update; called where `watched`. */
    int (*after_update)(void *custom);
    Both<Gemm> gemm;
};

/* Sparse rows: a row's numbers and their columns lie between one entry of indptr and the next. */
template <class T>
struct Csr {
    const T *data;
    const int32_t *indices;
    const int64_t *indptr;
};

/* A layer's weights (n_out, row) begin at `offset` of the parameters; row = n_in + 1, the last column
 * being the intercepts.  Hidden layers have what their product leaves, and the activations that the
 * next layer reads. */
template <class T>
struct Layer {
    ptrdiff_t n_in, n_out, row, offset;
    T *product, *active;
};

/* Sample-wise numbers of a chunk of rows: the rows themselves where they are copied; targets, loss
 * values and weights; raw predictions and the derivatives by them, for one model or four. */
template <class T>
struct Buffers {
    T *rows, *target, *value, *weight, *raw, *gradient;
    /* The Python side of these, for losses written in NumPy. */
    void *custom;
};

/* What an epoch on the lazy path needs besides. */
template <class T>
struct Lazy {
    /* A block of `stride` numbers for each feature, so that it takes one wait for memory: the steps
     * that it has had, its metric, and for each row of weights its coordinate and optimizer state. */
    T *blocks;
    ptrdiff_t stride, n_metrics, n_slots;
    /* A feature's place in the batch that had it last, plus that batch's `base`. */
    int32_t *tag, base;
    /* The batch's active features, how many steps each is behind, and the place of every number
     * stored. */
    int32_t *active, *lag, *places;
    /* The same numbers as in Plan, for the active features alone, contiguous. */
    T *metric, *W, *U, *G, *H, *state;
    /* The penalty's gradient by each coordinate is l2_slope times the coordinate. */
    T *l2_slope;
    Tables tables;
    ptrdiff_t capacity;
};

/* One model, its rows and everything that an epoch needs. */
template <class T>
struct Plan {
    bool single, intercept, shuffle, streams, plain_sgd;
    /* Rows used, columns, outputs, layers, and parameters of all layers together. */
    ptrdiff_t n, d, k, n_layers, size;
    ptrdiff_t batch_size, chunk;

    const T *X;
    Csr<T> csr;
    const T *target, *weight, *shift;
    const uint32_t *sample_indices;
    uint32_t *order;
    uint64_t seed;
    int target_kind;

    const Loss *loss;
    const double *loss_param;
    ptrdiff_t loss_param_step;
    bool joint;
    const Optimizer *optimizer;
    const CatchUp *catch_up;
    const double *step_param;
    T *state;
    ptrdiff_t n_slots;
    int64_t *steps;
    double l2, l1, scale;
    /* A loss or an optimizer written in NumPy, where `loss` or `optimizer` is NULL. */
    void *custom;
    bool watched;

    int metric_kind;
    ptrdiff_t metric_stride;
    const T *metric;
    /* Weights and their gradient, and the same in the optimizer's coordinates. */
    T *W, *U, *G, *H;
    /* The l1 penalty of each coordinate, and float32 gradients summed in float64. */
    T *thresholds;
    double *sums;

    Layer<T> *layers;
    const Activation *activation;
    double dropout, weight_decay;
    uint64_t mask_seed;
    const T *column_scale;
    const double *output;
    T *first_layer, *gradients[2];

    Buffers<T> buffers;
    Lazy<T> lazy;
    const Host *host;
    /* Multiply-adds since the last look at pending signals. */
    ptrdiff_t work;
};

/* One of many models that are trained on the same batches. */
template <class T>
struct Member {
    Plan<T> *plan;
    const double *rates;
    ptrdiff_t rate_step;
    double *history, penalty;
    ptrdiff_t n_done;
    bool active;
};

using AnyPlan = Plan<void>;
using AnyMember = Member<void>;

/* Everything that is compiled for one processor level. */
struct DualProblem;
struct SignProblem;
struct InteriorProblem;
struct LagrangianProblem;
struct UsedRows;
struct ExtendedRows;

struct Level {
    const char *name;
    const Loss *losses;
    const Optimizer *optimizers;
    const CatchUp *catch_ups;
    const Activation *activations;
    void (*call_loss)(const Loss *loss, bool single, ptrdiff_t n, ptrdiff_t k, const void *y,
                      const void *raw, const double *param, void *value, void *gradient);
    void (*activate)(const Activation *activation, bool single, ptrdiff_t n, void *z);
    bool (*one_by_one)(AnyPlan *plan);
    /* Epochs done, or -1 after an exception. */
    ptrdiff_t (*run)(AnyPlan *plan, int path, ptrdiff_t first_epoch, ptrdiff_t n_epochs,
                     const double *rates, ptrdiff_t rate_step, double *history);
    int (*run_bank)(AnyMember *members, ptrdiff_t n_members, ptrdiff_t first_epoch,
                    ptrdiff_t n_epochs);
    int (*evaluate)(AnyPlan *plan, double *gradient, double *objective);
    void (*fill_thresholds)(AnyPlan *plan);
    void (*fill_powers)(AnyPlan *plan, ptrdiff_t n_steps, double *room);
    ptrdiff_t (*mean_active)(AnyPlan *plan);
    double (*moments)(const Csr<void> *csr, const void *X, bool single, ptrdiff_t n, ptrdiff_t d,
                      const void *weight, const uint32_t *order, const double *origin,
                      double *first, double *second);
    /* See _dual_descent.hpp. */
    double (*dual_sweeps)(DualProblem *problem, double most_work);
    void (*dual_predict)(const DualProblem *problem, double *z);
    void (*dual_pull)(const DualProblem *problem, const double *a, double *out);
    void (*dual_squares)(const DualProblem *problem, double *out);
    /* See _sign_search.hpp. */
    void (*sign_search)(SignProblem *problem);
    /* See _lagrangian.hpp; -1 after an exception. */
    int (*lagrangian_step)(LagrangianProblem *problem);
    /* out (d,) += the sum of squared rows times factors (n,). */
    void (*column_squares)(const UsedRows *rows, const double *factors, double *out);
    /* Of k outputs: out (n, k) = rows W' for W (k, d + 1); out (k, d + 1) += a' rows for a (n, k); each
     * of out (k, d + 1, d + 1) += rows' diag(h) rows for h (n, k).  `room` has copies of a block of
     * dense rows, one, and for the last two. */
    void (*row_predictions)(const ExtendedRows *rows, ptrdiff_t k, const double *W, double *out,
                            double *room);
    void (*row_sums)(const ExtendedRows *rows, ptrdiff_t k, const double *a, double *out,
                     double *room);
    void (*row_grams)(const ExtendedRows *rows, ptrdiff_t k, const double *h, double *out,
                      double *room);
    /* See _interior_point.hpp. */
    void (*interior_point)(InteriorProblem *problem);
};

}  // namespace lossopt

#endif
