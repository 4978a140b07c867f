/* What an optimizer does to a parameter in the steps that it skips, in which its gradient is the
 * penalty's alone.
 *
 *     catch_up(n, w, state, size, l2_slope, lag, now, tables, param)
 *
 * applies to each of n parameters the lag[j] steps before step `now` of the epoch.  Slots of state
 * are `size` numbers apart; the penalty's gradient is l2_slope[j] w[j].
 *
 * Exact to rounding: sgd (a product of decays); momentum at a constant rate (the closed form of its
 * 2 x 2 recurrence); rmsprop and adagrad without a penalty.  Without one, adam, amsgrad and adamw are
 * exact to second order in epsilon / sqrt(v).  With one, all of these see its gradient at the weight
 * and with the scaling of the gap's middle: a few hundredths of the penalty's effect are lost (the
 * user guide has figures), and textbook mode, which is to be exact, does not come here.  LazyAdam and
 * SparseAdam, by contrast, let neither momentum nor running squares go on in a gap, and have no
 * penalty there.
 *
 * Optimizers without such a function take the dense path.
 */
#include "_level.hpp"
#include "_math.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

template <class T>
static void sgd(ptrdiff_t n, T *w, T *, ptrdiff_t, const T *l2_slope, const int32_t *lag,
                ptrdiff_t now, const Tables *tables, const double *)
{
    T rate = (T)tables->rate;
    if (tables->constant) {
        for (ptrdiff_t j = 0; j < n; j++)
            w[j] *= bounded_exp((T)lag[j] * log_one_minus(rate * l2_slope[j]));
        return;
    }
    for (ptrdiff_t j = 0; j < n; j++)
        if (lag[j] > 0) {
            double gone = tables->sum[now] - tables->sum[now - lag[j]];
            T mean = (T)(gone / lag[j]);
            T spread = (T)(tables->square_sum[now] - tables->square_sum[now - lag[j]]
                           - gone * gone / lag[j]);
            w[j] *= bounded_exp((T)lag[j] * log_one_minus(mean * l2_slope[j])
                                - (T)0.5 * l2_slope[j] * l2_slope[j] * spread);
        }
}

/* (w, v) <- M (w, v) with M = [[1 - x (1 + nu), -rate mu (mu)], [c, mu]], x = rate c, where nu is mu
 * with Nesterov's correction and 0 without.  Its eigenvalues are 1 - e and det / (1 - e). */
template <class T>
static void momentum(ptrdiff_t n, T *w, T *state, ptrdiff_t, const T *l2_slope, const int32_t *lag,
                     ptrdiff_t, const Tables *tables, const double *param)
{
    T rate = (T)tables->rate, mu = (T)param[0], nu = param[1] != 0 ? mu : 0;
    T reach = rate * mu * (param[1] != 0 ? mu : 1);
    for (ptrdiff_t j = 0; j < n; j++) {
        T x = rate * l2_slope[j];
        T q = (T)(1.0 - mu + x * (1.0 + nu));
        T e = (T)(2.0 * x / (q + square_root((T)(q * q - 4.0 * x))));
        T first = bounded_exp((T)lag[j] * log_one_minus(e));
        T second = (T)tables->forget[lag[j]] / first;
        if (nu > 0)
            second *= bounded_exp((T)lag[j] * log_one_minus(x));
        T slow = (T)(1.0 - e);
        T fast = mu * (nu > 0 ? (T)(1.0 - x) : 1) / slow;
        T a = (T)(1.0 - x * (1.0 + nu)), w_j = w[j], v_j = state[j];
        w[j] = (first * ((a - fast) * w_j - reach * v_j) - second * ((a - slow) * w_j - reach * v_j))
               / (slow - fast);
        state[j] = (first * (l2_slope[j] * w_j + (mu - fast) * v_j)
                    - second * (l2_slope[j] * w_j + (mu - slow) * v_j))
                   / (slow - fast);
    }
}

/* exp(-x) to third order in x, for x >= 0; what it is used for is right to first order. */
template <class T>
LOSSOPT_INLINE T fade(T x)
{
    return (T)(1.0 / (1.0 + x * (1.0 + x * ((T)0.5 + x * (T)(1 / 6.0)))));
}

template <class T>
static void rmsprop(ptrdiff_t n, T *w, T *state, ptrdiff_t, const T *l2_slope, const int32_t *lag,
                    ptrdiff_t now, const Tables *tables, const double *param)
{
    T epsilon = (T)param[1] + (T)1e-30;
    for (ptrdiff_t j = 0; j < n; j++) {
        T gone = (T)(tables->sum[now] - tables->sum[now - lag[j]]);
        T half = (T)tables->forget_half[lag[j]];
        T g = l2_slope[j] * w[j];
        g *= g;
        /* Simpson's rule for the mean of 1 / (root + epsilon) over the gap. */
        T inverse = (T)(1.0 / (square_root(state[j]) + epsilon));
        inverse += 4.0 / (square_root((T)(half * state[j] + (1.0 - half) * g)) + epsilon);
        state[j] = (T)(half * half * state[j] + (1.0 - half * half) * g);
        inverse += 1.0 / (square_root(state[j]) + epsilon);
        w[j] *= fade((T)(gone * l2_slope[j] * inverse / 6.0));
    }
}

template <class T>
static void adagrad(ptrdiff_t n, T *w, T *state, ptrdiff_t, const T *l2_slope, const int32_t *lag,
                    ptrdiff_t now, const Tables *tables, const double *param)
{
    T epsilon = (T)param[0] + (T)1e-30, initial = (T)param[1];
    for (ptrdiff_t j = 0; j < n; j++) {
        T gone = (T)(tables->sum[now] - tables->sum[now - lag[j]]);
        T g = l2_slope[j] * w[j];
        g *= g * lag[j];
        w[j] *= fade(gone * l2_slope[j]
                     / (square_root(initial + state[j] + (T)0.5 * g) + epsilon));
        state[j] += g;
    }
}

/* Parameters whose steps are caught up with together. */
constexpr ptrdiff_t BLOCK = 64;

/* What a parameter's lag alone decides, for a block of parameters. */
template <class T>
struct Gaps {
    T one[BLOCK], half[BLOCK], tail[BLOCK], trim[BLOCK];
    T gone[BLOCK], kept[BLOCK], late[BLOCK], unbias[BLOCK];
};

template <class T>
static void adam_block(ptrdiff_t n, T *w, T *m, T *v, const T *top, const T *l2_slope,
                       const T *one, const T *half, const T *tail, const T *trim, const T *gone,
                       const T *kept, const T *late, const T *unbias, double kept_now,
                       double epsilon_)
{
    T epsilon = (T)epsilon_, tiny = (T)1e-30, now = (T)kept_now;
    T root[BLOCK];
    ptrdiff_t j;
    /* Squares under the root: at the gap's beginning, for the momentum's remaining moves. */
    for (j = 0; j < n; j++)
        root[j] = square_root(top ? top[j] : v[j]);
    for (j = 0; j < n; j++) {
        T moved = m[j] * tail[j] * tail[j] * now / (root[j] * tail[j] + epsilon * trim[j] + tiny);
        /* The penalty's gradient, whose momentum builds up from none, at the gap's mean weight (the
         * momentum's moves come first), with the scaling of the gap's middle. */
        T mean = w[j] - moved * late[j];
        T g = l2_slope[j] * mean, g2 = g * g;
        if (!top)
            root[j] = square_root((T)(half[j] * v[j] + (1.0 - half[j]) * g2));
        w[j] -= mean
                * (1.0 - fade(gone[j] * l2_slope[j] * unbias[j]
                            / (root[j] + epsilon * unbias[j] + tiny)));
        w[j] = w[j] * kept[j] - moved;
        m[j] = (T)(one[j] * m[j] + (1.0 - one[j]) * l2_slope[j] * w[j]);
        v[j] = (T)(half[j] * half[j] * v[j] + (1.0 - half[j] * half[j]) * g2);
    }
}

template <class T>
static void adam(ptrdiff_t n, T *w, T *state, ptrdiff_t size, const T *l2_slope, const int32_t *lag,
                 ptrdiff_t now, const Tables *tables, const double *param)
{
    /* What is looked up comes first, so that the rest is one plain loop. */
    Gaps<T> gaps;
    double tail_now = tables->tail[now], trim_now = tables->trim[now];
    double sum_now = tables->sum[now], kept_now = tables->kept[now];
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        ptrdiff_t b = least(BLOCK, n - start);
        for (ptrdiff_t j = 0; j < b; j++) {
            ptrdiff_t k = lag[start + j], since = now - k;
            gaps.one[j] = (T)tables->forget[k];
            gaps.half[j] = (T)tables->forget_half[k];
            gaps.tail[j] = (T)(tables->tail[since] - tables->shrink[k] * tail_now);
            gaps.trim[j] = (T)(tables->trim[since] - tables->shrink_trim[k] * trim_now);
            gaps.gone[j] = (T)((sum_now - tables->sum[since]) * tables->grown[k]);
            gaps.kept[j] = (T)(kept_now * tables->kept_inverse[since]);
            gaps.late[j] = (T)(tables->late[k] / (kept_now * tables->kept_inverse[since]));
            gaps.unbias[j] = (T)tables->unbias[(since + now + 1) / 2];
        }
        const T *top = param[3] != 0 ? state + 2 * size + start : nullptr;
        adam_block<T>(b, w + start, state + start, state + size + start, top, l2_slope + start,
                      gaps.one, gaps.half, gaps.tail, gaps.trim, gaps.gone, gaps.kept, gaps.late,
                      gaps.unbias, kept_now, param[2]);
    }
}

extern const CatchUp catch_ups[] = {
    {"sgd", {sgd<double>, sgd<float>}, 0, 30},
    {"momentum", {momentum<double>, momentum<float>}, 1, 75},
    {"rmsprop", {rmsprop<double>, rmsprop<float>}, 1, 45},
    {"adagrad", {adagrad<double>, adagrad<float>}, 0, 40},
    {"adam", {adam<double>, adam<float>}, 2, 50},
    {"adamw", {adam<double>, adam<float>}, 3, 55},
    {},
};

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
