/* Many models on one stream of batches.
 *
 * The first of them, the leader, reads rows, targets and weights into its buffers once; every model
 * then does with them what it would do alone, in the same order of additions, so that it is the same
 * to the last bit.  What is shared is the reading, and that the rows of a chunk stay in the cache
 * while all models use them.
 */
#ifndef LOSSOPT_BANK_HPP
#define LOSSOPT_BANK_HPP

#include "_epochs.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* Add one member's gradients of the m rows that the leader has read. */
template <class T>
static void block_gradient(const Plan<T> &t, const Plan<T> &leader, ptrdiff_t start, ptrdiff_t m,
                           double *total, bool copied)
{
    const T *none = nullptr;
    if (t.n_layers > 1)
        network_gradient(t, leader.buffers, nullptr, start, m, t.G, total, true);
    else if (!copied)
        linear_gradient(t, leader.buffers, leader.X, leader.order, start, leader.shift, m, t.G,
                        total);
    else
        linear_gradient<T>(t, leader.buffers, leader.buffers.rows, nullptr, 0, none, m, t.G, total);
}

/* The same for four linear models of one output: a number read is multiplied four times. */
template <class T>
static void four_gradients(Member<T> *const *four, const Plan<T> &leader, ptrdiff_t n,
                           ptrdiff_t epoch)
{
    ptrdiff_t d = leader.d;
    const T *X = leader.buffers.rows, *w[4], *none = nullptr;
    T *raw = leader.buffers.raw, *grad = leader.buffers.gradient, *G[4];
    int i;
    for (i = 0; i < 4; i++) {
        w[i] = four[i]->plan->W;
        G[i] = four[i]->plan->G;
    }
    dot_rows_pair<T>(n, d, X, w[0], w[1], raw, raw + n);
    dot_rows_pair<T>(n, d, X, w[2], w[3], raw + 2 * n, raw + 3 * n);
    for (i = 0; i < 4; i++)
        model_losses<T>(*four[i]->plan, leader.buffers, raw + i * n, grad + i * n, n,
                        four[i]->history + epoch, true);
    axpy_rows_4<T>(n, d, X, grad, G);
    for (i = 0; i < 4; i++)
        if (leader.intercept)
            G[i][d] += (T)weighted_sum<T>(n, grad + i * n, none);
}

/* Every active member's sum over n rows. */
template <class T>
static void bank_gradients(Plan<T> &leader, Member<T> *members, ptrdiff_t n_members,
                           ptrdiff_t epoch, ptrdiff_t start, ptrdiff_t n)
{
    bool one = leader.n_layers == 1 && leader.k == 1;
    /* Products of the shortest rows are plain loops: a copy of the rows, with no shift to subtract,
     * could make the compiler fuse them otherwise. */
    bool copied = !one || leader.d >= lanes<T>, by_fours = one && copied;
    ptrdiff_t i;
    for (i = 0; i < n_members; i++)
        if (members[i].active)
            begin_sum<T>(*members[i].plan, members[i].plan->G, n);
    for (ptrdiff_t done = 0, m; done < n; done += m) {
        Member<T> *four[4];
        ptrdiff_t waiting = 0;
        m = least(leader.chunk, n - done);
        gather_block(leader, leader.order, start + done, m, copied);
        for (i = 0; i < n_members; i++) {
            Member<T> &member = members[i];
            if (!member.active)
                continue;
            if (!by_fours) {
                block_gradient(*member.plan, leader, start + done, m, member.history + epoch,
                               copied);
                continue;
            }
            four[waiting++] = &member;
            if (waiting == 4) {
                four_gradients(four, leader, m, epoch);
                waiting = 0;
            }
        }
        for (i = 0; i < waiting; i++)
            block_gradient(*four[i]->plan, leader, start + done, m, four[i]->history + epoch,
                           copied);
        for (i = 0; i < n_members; i++)
            if (members[i].active)
                add_chunk<T>(*members[i].plan, members[i].plan->G, n);
        look_for_signals(leader, m * n_members * leader.size);
    }
    for (i = 0; i < n_members; i++)
        if (members[i].active)
            end_sum<T>(*members[i].plan, members[i].plan->G, n);
}

/* Train up to n_epochs epochs of every member; their n_done say how many there were. */
template <class T>
static void bank_epochs(Member<T> *members, ptrdiff_t n_members, ptrdiff_t first_epoch,
                        ptrdiff_t n_epochs)
{
    Plan<T> &leader = *members[0].plan;
    ptrdiff_t batch = leader.batch_size, n = leader.n, per_epoch = (n + batch - 1) / batch;
    for (ptrdiff_t epoch = 0; epoch < n_epochs; epoch++) {
        order_epoch(leader, first_epoch + epoch);
        for (ptrdiff_t i = 0; i < n_members; i++) {
            Member<T> &p = members[i];
            if (p.active)
                begin_epoch(*p.plan, p.history + epoch, &p.penalty, first_epoch + epoch);
        }
        for (ptrdiff_t start = 0, b; start < n; start += b) {
            b = least(batch, n - start);
            bank_gradients(leader, members, n_members, epoch, start, b);
            ptrdiff_t step = epoch * per_epoch + start / batch;
            for (ptrdiff_t i = 0; i < n_members; i++) {
                Member<T> &p = members[i];
                if (p.active)
                    update(*p.plan, b, p.rates[step * p.rate_step]);
            }
        }
        for (ptrdiff_t i = 0; i < n_members; i++) {
            Member<T> &p = members[i];
            if (p.active) {
                p.n_done = epoch + 1;
                p.active = end_epoch(*p.plan, p.history + epoch, &p.penalty);
            }
        }
    }
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
