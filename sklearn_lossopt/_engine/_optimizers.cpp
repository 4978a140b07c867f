/* Optimizers: one function an update rule, called once a batch, model and layer.
 *
 *     step(n, row, w, g, l1, state, t, rate, param)
 *
 * updates the n contiguous parameters w, given the gradient g.  They are rows of `row` numbers, in
 * each of which the last is an intercept.  `state` is (slots, n), zero before the first step; t
 * counts steps from 1.  `param` holds the numbers that the Python class names in `_kernel_params`,
 * in that order.
 *
 * Unless l1 is NULL, the step is a proximal one for the penalty sum_j l1[j] |w_j|:
 *
 *     w <- argmin_x  sum_j l1[j] |x_j| + (x_j - w'_j)^2 / (2 c_j),
 *
 * w' being where the smooth part's step ends, which is w'_j moved towards zero by c_j l1[j].  In the
 * metric of the optimizer's own scaling, c_j is what the step makes of a gradient of 1 that has
 * always been there: rate / (sqrt(v_j) + epsilon) for Adam, rate (1 - mu^t) / (1 - mu) for momentum.
 * The minimiser of the whole objective is then a fixed point: there w'_j - w_j = c_j l1[j] sign(w_j).
 * (Duchi, Hazan, Singer 2011, composite mirror descent; Yun, Lozano, Yang 2021, ProxGen.)
 */
#include "_level.hpp"
#include "_math.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* x moved towards zero by `by`, not beyond it. */
template <class T>
LOSSOPT_INLINE T shrink(T x, T by)
{
    return x > by ? x - by : (x < -by ? x + by : 0);
}

/* The proximal step of the methods that divide by unbias sqrt(v) + epsilon. */
template <class T>
LOSSOPT_INLINE void shrink_scaled(ptrdiff_t n, T *w, const T *l1, const T *v, double rate,
                                  double unbias, double epsilon)
{
    T a = (T)rate, u = (T)unbias, e = (T)epsilon;
    if (l1)
        for (ptrdiff_t j = 0; j < n; j++)
            w[j] = shrink(w[j], a * l1[j] / (u * square_root(v[j]) + e));
}

template <class T>
static void sgd(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *, int64_t, double rate,
                const double *)
{
    T a = (T)rate;
    for (ptrdiff_t j = 0; j < n; j++)
        w[j] -= a * g[j];
    if (l1)
        for (ptrdiff_t j = 0; j < n; j++)
            w[j] = shrink(w[j], a * l1[j]);
}

template <class T>
static void momentum(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t t,
                     double rate, const double *param)
{
    T a = (T)rate, mu = (T)param[0];
    bool nesterov = param[1] != 0;
    if (nesterov) {
        for (ptrdiff_t j = 0; j < n; j++) {
            state[j] = mu * state[j] + g[j];
            w[j] -= a * (g[j] + mu * state[j]);
        }
    } else {
        for (ptrdiff_t j = 0; j < n; j++) {
            state[j] = mu * state[j] + g[j];
            w[j] -= a * state[j];
        }
    }
    if (l1) {
        a *= (T)((1 - power(param[0], nesterov ? t + 1 : t)) / (1 - param[0]));
        for (ptrdiff_t j = 0; j < n; j++)
            w[j] = shrink(w[j], a * l1[j]);
    }
}

/* Multiply the weights, not the intercepts. */
template <class T>
LOSSOPT_INLINE void decay_weights(ptrdiff_t n, ptrdiff_t row, T *w, double decay)
{
    T keep = (T)decay;
    if (decay == 1)
        return;
    for (ptrdiff_t r = 0; r < n / row; r++)
        for (ptrdiff_t j = r * row; j < r * row + row - 1; j++)
            w[j] *= keep;
}

template <class T>
static void rmsprop(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t t,
                    double rate, const double *param)
{
    T a = (T)rate, rho = (T)param[0], epsilon = (T)param[1], mu = (T)param[2];
    T keep = (T)(1 - param[0]);
    bool moving = param[2] != 0, centered = param[3] != 0;
    T *square = state;
    /* Only the slots that are needed exist. */
    T *velocity = state + n;
    T *mean = state + (moving ? 2 * n : n);
    if (!centered && !moving) {
        for (ptrdiff_t j = 0; j < n; j++) {
            square[j] = rho * square[j] + keep * g[j] * g[j];
            w[j] -= a * g[j] / (square_root(square[j]) + epsilon);
        }
        shrink_scaled<T>(n, w, l1, square, rate, 1, param[1]);
        return;
    }
    T amplified = (T)(rate * (1 - power(param[2], t)) / (1 - param[2]));
    for (ptrdiff_t j = 0; j < n; j++) {
        square[j] = rho * square[j] + keep * g[j] * g[j];
        T spread = square[j];
        if (centered) {
            mean[j] = rho * mean[j] + keep * g[j];
            spread -= mean[j] * mean[j];
            /* Rounding can push the variance below zero where the gradient hardly changes. */
            spread = spread < 0 ? 0 : spread;
        }
        spread = square_root(spread) + epsilon;
        T step = g[j] / spread;
        if (moving) {
            velocity[j] = mu * velocity[j] + step;
            step = velocity[j];
        }
        w[j] -= a * step;
        if (l1)
            w[j] = shrink(w[j], amplified * l1[j] / spread);
    }
}

template <class T>
static void adagrad(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t,
                    double rate, const double *param)
{
    T a = (T)rate, epsilon = (T)param[0], initial = (T)param[1];
    for (ptrdiff_t j = 0; j < n; j++) {
        state[j] += g[j] * g[j];
        T scaled = a / (square_root(initial + state[j]) + epsilon);
        w[j] -= scaled * g[j];
        if (l1)
            w[j] = shrink(w[j], scaled * l1[j]);
    }
}

template <class T>
static void adadelta(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t,
                     double rate, const double *param)
{
    T a = (T)rate, rho = (T)param[0], epsilon = (T)param[1], keep = (T)(1 - param[0]);
    T *square = state, *moved = state + n;
    for (ptrdiff_t j = 0; j < n; j++) {
        square[j] = rho * square[j] + keep * g[j] * g[j];
        T scaled = square_root(moved[j] + epsilon) / square_root(square[j] + epsilon);
        T step = scaled * g[j];
        moved[j] = rho * moved[j] + keep * step * step;
        w[j] -= a * step;
        if (l1)
            w[j] = shrink(w[j], a * scaled * l1[j]);
    }
}

/* The running means of the gradient and of its square, which Adam and its kin share. */
template <class T>
LOSSOPT_INLINE void update_moments(ptrdiff_t n, const T *g, T *m, T *v, double beta_1,
                                   double beta_2)
{
    T b1 = (T)beta_1, keep_1 = (T)(1 - beta_1), b2 = (T)beta_2, keep_2 = (T)(1 - beta_2);
    for (ptrdiff_t j = 0; j < n; j++) {
        m[j] = b1 * m[j] + keep_1 * g[j];
        v[j] = b2 * v[j] + keep_2 * g[j] * g[j];
    }
}

template <class T>
static void adam(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t t,
                 double rate, const double *param)
{
    T epsilon = (T)param[2], a = (T)(rate / (1 - power(param[0], t)));
    T unbias = (T)(1 / sqrt(1 - power(param[1], t)));
    T *m = state, *v = state + n, *top = state + 2 * n;
    update_moments(n, g, m, v, param[0], param[1]);
    if (param[3] != 0) { /* AMSGrad */
        for (ptrdiff_t j = 0; j < n; j++)
            top[j] = v[j] > top[j] ? v[j] : top[j];
        v = top;
    }
    for (ptrdiff_t j = 0; j < n; j++)
        w[j] -= a * m[j] / (square_root(v[j]) * unbias + epsilon);
    shrink_scaled<T>(n, w, l1, v, rate, unbias, param[2]);
}

template <class T>
static void adamw(ptrdiff_t n, ptrdiff_t row, T *w, const T *g, const T *l1, T *state, int64_t t,
                  double rate, const double *param)
{
    decay_weights(n, row, w, 1 - rate * param[4]);
    adam(n, row, w, g, l1, state, t, rate, param);
}

/* With a weight on the momentum that differs from step to step, the correction for its start is a
 * product over the steps so far: the third slot's first number. */
template <class T>
static void nadam(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t t,
                  double rate, const double *param)
{
    double beta_1 = param[0];
    double mu = beta_1 * (1 - 0.5 * power(0.96, t * param[3]));
    double following = beta_1 * (1 - 0.5 * power(0.96, (t + 1) * param[3]));
    double product = t == 1 ? mu : mu * state[2 * n];
    T of_g = (T)(rate * (1 - mu) / (1 - product));
    T of_m = (T)(rate * following / (1 - product * following));
    T unbias = (T)(1 / sqrt(1 - power(param[1], t))), epsilon = (T)param[2];
    T *m = state, *v = state + n;
    state[2 * n] = (T)product;
    update_moments(n, g, m, v, beta_1, param[1]);
    for (ptrdiff_t j = 0; j < n; j++)
        w[j] -= (of_g * g[j] + of_m * m[j]) / (square_root(v[j]) * unbias + epsilon);
    shrink_scaled<T>(n, w, l1, v, of_g + of_m * (1 - power(beta_1, t)), unbias, param[2]);
}

template <class T>
static void radam(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t t,
                  double rate, const double *param)
{
    double beta_2 = param[1], gone = power(beta_2, t);
    double most = 2 / (1 - beta_2) - 1, length = most - 2 * t * gone / (1 - gone);
    double a = rate / (1 - power(param[0], t));
    T epsilon = (T)param[2];
    T *m = state, *v = state + n;
    update_moments(n, g, m, v, param[0], beta_2);
    if (length <= 5) {
        T plain = (T)a;
        for (ptrdiff_t j = 0; j < n; j++)
            w[j] -= plain * m[j];
        if (l1)
            for (ptrdiff_t j = 0; j < n; j++)
                w[j] = shrink(w[j], (T)rate * l1[j]);
        return;
    }
    T scaled = (T)(a * sqrt((1 - gone) * (length - 4) * (length - 2) * most
                            / ((most - 4) * (most - 2) * length)));
    for (ptrdiff_t j = 0; j < n; j++)
        w[j] -= scaled * m[j] / (square_root(v[j]) + epsilon);
    shrink_scaled<T>(n, w, l1, v, scaled * (1 - power(param[0], t)), 1, param[2]);
}

template <class T>
static void adamax(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state, int64_t t,
                   double rate, const double *param)
{
    T b1 = (T)param[0], keep_1 = (T)(1 - param[0]), b2 = (T)param[1], epsilon = (T)param[2];
    T a = (T)(rate / (1 - power(param[0], t)));
    T *m = state, *top = state + n;
    for (ptrdiff_t j = 0; j < n; j++) {
        m[j] = b1 * m[j] + keep_1 * g[j];
        T size = (g[j] >= 0 ? g[j] : -g[j]) + epsilon;
        top[j] = b2 * top[j] > size ? b2 * top[j] : size;
        w[j] -= a * m[j] / top[j];
        if (l1)
            w[j] = shrink(w[j], (T)rate * l1[j] / top[j]);
    }
}

template <class T>
static void lion(ptrdiff_t n, ptrdiff_t row, T *w, const T *g, const T *l1, T *state, int64_t,
                 double rate, const double *param)
{
    T b1 = (T)param[0], keep_1 = (T)(1 - param[0]), b2 = (T)param[1], keep_2 = (T)(1 - param[1]);
    T a = (T)rate;
    decay_weights(n, row, w, 1 - rate * param[2]);
    for (ptrdiff_t j = 0; j < n; j++) {
        T c = b1 * state[j] + keep_1 * g[j];
        state[j] = b2 * state[j] + keep_2 * g[j];
        if (l1) {
            /* A step of one size has no scaling for a proximal step: it goes against the smallest
             * subgradient of the whole, and ends where that changes, at zero. */
            if (w[j] == 0)
                c = shrink(c, l1[j]);
            else
                c += w[j] > 0 ? l1[j] : -l1[j];
        }
        T moved = w[j] - (c > 0 ? a : (c < 0 ? -a : 0));
        if (l1 && l1[j] > 0 && moved * w[j] < 0)
            moved = 0;
        w[j] = moved;
    }
}

/* Move a running mean towards a value by that share of the distance.  What rounding takes from one
 * move is added to the next (Kahan): late in a long float32 run every move alone would be rounded
 * away. */
template <class T>
LOSSOPT_INLINE void move_mean(ptrdiff_t n, T *mean, T *lost, const T *value, double share)
{
    T c = (T)share;
    for (ptrdiff_t j = 0; j < n; j++) {
        T before = mean[j], step = c * (value[j] - before) - lost[j];
        mean[j] = before + step;
        lost[j] = (mean[j] - before) - step;
    }
}

/* Another optimizer, param[0] being its place in the table, and the mean of its iterates.  Slots: the
 * mean, what rounding took from it, and in the first number of the third the count of steps after
 * which the mean began anew. */
template <class T>
static void averaged(ptrdiff_t n, ptrdiff_t row, T *w, const T *g, const T *l1, T *state, int64_t t,
                     double rate, const double *param)
{
    double exponent = param[2], before = state[2 * n];
    pick<T>(optimizers[(int)param[0]].step)(n, row, w, g, l1, state + 3 * n, t, rate, param + 3);
    before = t - (before > param[1] ? before : param[1]);
    if (before > 0)
        move_mean<T>(n, state, state + n, w, (exponent + 1) / (before + exponent));
}

/* The share of the next z in the mean x.
 *
 * Its weight is t^exponent times the square of the largest learning rate so far, which counts the
 * steps of a warm-up less.  `sums` holds the sum of weights, in units of that square, and the rate.
 * A sum of 0 starts the mean at w. */
template <class T>
LOSSOPT_INLINE double schedule_free_share(ptrdiff_t n, const T *w, T *z, T *x, T *lost, T *sums,
                                          int64_t t, double rate, double exponent)
{
    double top = sums[1] > rate ? sums[1] : rate, weight = power(t, exponent);
    if (sums[0] == 0) {
        memcpy(z, w, n * sizeof(T));
        memcpy(x, w, n * sizeof(T));
        memset(lost, 0, n * sizeof(T));
    }
    if (top == 0)
        return 0;
    double total = weight + sums[0] * (sums[1] / top) * (sums[1] / top);
    sums[0] = (T)total;
    sums[1] = (T)top;
    return weight / total;
}

/* w = (1 - beta) z + beta x, where the next gradient is taken. */
template <class T>
LOSSOPT_INLINE void place_between(ptrdiff_t n, T *w, const T *z, const T *x, double beta)
{
    T b = (T)beta, rest = (T)(1 - beta);
    for (ptrdiff_t j = 0; j < n; j++)
        w[j] = rest * z[j] + b * x[j];
}

LOSSOPT_INLINE double warmed(double rate, int64_t t, double steps)
{
    return t < steps ? rate * t / steps : rate;
}

template <class T>
static void schedule_free_sgd(ptrdiff_t n, ptrdiff_t, T *w, const T *g, const T *l1, T *state,
                              int64_t t, double rate, const double *param)
{
    T *z = state, *x = state + n, *lost = state + 2 * n;
    rate = warmed(rate, t, param[1]);
    T a = (T)rate;
    double share = schedule_free_share(n, w, z, x, lost, state + 3 * n, t, rate, param[2]);
    for (ptrdiff_t j = 0; j < n; j++) {
        z[j] -= a * g[j];
        if (l1)
            z[j] = shrink(z[j], a * l1[j]);
    }
    move_mean(n, x, lost, z, share);
    place_between(n, w, z, x, param[0]);
}

template <class T>
static void schedule_free_adamw(ptrdiff_t n, ptrdiff_t row, T *w, const T *g, const T *l1,
                                T *state, int64_t t, double rate, const double *param)
{
    T *z = state, *x = state + n, *lost = state + 2 * n, *v = state + 4 * n;
    T epsilon = (T)param[2], b2 = (T)param[1], keep_2 = (T)(1 - param[1]);
    rate = warmed(rate, t, param[4]) * sqrt(1 - power(param[1], t));
    T a = (T)rate;
    double share = schedule_free_share(n, w, z, x, lost, state + 3 * n, t, rate, param[5]);
    for (ptrdiff_t j = 0; j < n; j++) {
        v[j] = b2 * v[j] + keep_2 * g[j] * g[j];
        T scaled = a / (square_root(v[j]) + epsilon);
        /* Weights, not intercepts, decay by their value where the gradient was taken. */
        T decay = j % row == row - 1 ? 0 : (T)(rate * param[3]);
        z[j] -= scaled * g[j] + decay * w[j];
        if (l1)
            z[j] = shrink(z[j], scaled * l1[j]);
    }
    move_mean(n, x, lost, z, share);
    place_between(n, w, z, x, param[0]);
}

#define LOSSOPT_OPTIMIZER(name) {#name, {name<double>, name<float>}}

/* "averaged" counts on this order, as the Python side lists it. */
extern const Optimizer optimizers[] = {
    LOSSOPT_OPTIMIZER(sgd),
    LOSSOPT_OPTIMIZER(momentum),
    LOSSOPT_OPTIMIZER(rmsprop),
    LOSSOPT_OPTIMIZER(adagrad),
    LOSSOPT_OPTIMIZER(adadelta),
    LOSSOPT_OPTIMIZER(adam),
    LOSSOPT_OPTIMIZER(adamw),
    LOSSOPT_OPTIMIZER(nadam),
    LOSSOPT_OPTIMIZER(radam),
    LOSSOPT_OPTIMIZER(adamax),
    LOSSOPT_OPTIMIZER(lion),
    LOSSOPT_OPTIMIZER(averaged),
    LOSSOPT_OPTIMIZER(schedule_free_sgd),
    LOSSOPT_OPTIMIZER(schedule_free_adamw),
    {},
};

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
