/* The minimum of a quadratic model with an l1 norm: sweeps over the coordinates, then Newton steps
 * for given signs.
 *
 * `_sign_search.pyx` has the problem and says how the parts work together. */
#include <algorithm>
#include <math.h>

#include "_level.hpp"
#include "_products.hpp"
#include "_sign_search.hpp"

namespace lossopt {
namespace LOSSOPT_LEVEL {

/* What single coordinates have left to gain is rounding beside this part of what was gained: where
 * columns are correlated, together they may gain many times as much. */
constexpr double ACCURACY = 1e-16;
/* Rounds of sweeps at the start, the sweeps among coefficients that are not 0 in each of them, and
 * what they have to gain for more. */
constexpr int ROUNDS = 4, INNER_SWEEPS = 8;
constexpr double WORTH = 1e-2;
/* A column is a combination of others if this part of its square is left after them. */
constexpr double DEPENDENT = 1e-12;
/* Of combinations, the first takes a vacant place in the factor of which more than this over its rows
 * is left, or the best of so many: next to nothing left would be rounding in all rows after it. */
constexpr double AMPLE = 0.1;
constexpr ptrdiff_t LOOKS = 10;
/* A curvature is rounding beside this part of its terms, and where it is, counts as the second: a
 * step that long is one of the proximal point method. */
constexpr double ROUNDING = 1e-14, PROXIMAL = 1e-13;
/* Steps in which zeros enter together before they do so one by one, and what they have to promise
 * beside the best of them. */
constexpr ptrdiff_t TOGETHER = 40;
constexpr double NEARLY_BEST = 0.25;
/* Rows of a factor for each one that is taken out of it, at least. */
constexpr ptrdiff_t ROWS_TAKEN_OUT = 8;

LOSSOPT_INLINE void add(double a, const double *x, double *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

LOSSOPT_INLINE bool opposed(double a, double b)
{
    return (a > 0 && b < 0) || (a < 0 && b > 0);
}

class SignSearch {
    SignProblem &p;
    ptrdiff_t d;
    double *u, *s;
    const double *threshold, *diagonal;
    /* A direction and the model's curvature times it; the end of a line search; per coordinate. */
    double *direction, *bent, *end, *end_bent;
    /* In the order of the factor's rows. */
    double *solution, *at;
    /* Coordinates that move together: the first `size` have rows of the factor, the next
     * `dependent` are combinations of these. The next `again` have lost their rows. The next
     * `doubtful` were combinations before rows were taken out: at most `vacant` of them can get one.
     * The others have not been tried. */
    ptrdiff_t *member, *crossing, size = 0, dependent = 0, again = 0, doubtful = 0, vacant = 0;
    ptrdiff_t count = 0;
    /* 1 for coordinates that have failed to lower the model since another has, 2 for those whose
     * proximal step has been made: one that no other coefficient's 0 has ended. */
    ptrdiff_t *stuck;
    bool proximal = false;

  public:
    explicit SignSearch(SignProblem &problem)
        : p(problem), d(problem.d), u(problem.u), s(problem.slope), threshold(problem.threshold),
          diagonal(problem.diagonal), direction(problem.room), bent(problem.room + problem.d),
          end(problem.room + 2 * problem.d), end_bent(problem.room + 3 * problem.d),
          solution(problem.room + 4 * problem.d), at(problem.room + 5 * problem.d),
          member(problem.order), crossing(problem.order + problem.d),
          stuck(problem.order + 2 * problem.d)
    {
    }

    void run()
    {
        search();
        std::copy(diagonal, diagonal + d, p.curvature);
        for (ptrdiff_t k = 0; k < size; k++)
            p.curvature[member[k]] = p.factor[k * (d + 1)] * p.factor[k * (d + 1)];
        for (ptrdiff_t k = size; k < count; k++)
            p.curvature[member[k]] *= PROXIMAL;
        for (ptrdiff_t j = 0; j < d; j++)
            if (stuck[j] && u[j] == 0)
                p.curvature[j] *= PROXIMAL;
    }

  private:
    void search()
    {
        p.gained = p.left = 0;
        p.ended = false;
        std::fill(stuck, stuck + d, 0);
        sweep_at_start();
        for (ptrdiff_t j = 0; j < d; j++)
            if (usable(j) && (u[j] != 0 || threshold[j] == 0))
                member[count++] = j;
        ptrdiff_t entered = 0;
        for (ptrdiff_t step = 0; step < p.most_steps; step++) {
            factor();
            if (!settle())
                continue;
            double worst = 0;
            ptrdiff_t best = outside(&worst);
            if (best < 0 || p.left <= ACCURACY * p.gained) {
                p.ended = true;
                return;
            }
            bool together = entered++ < TOGETHER && u[best] == 0 && threshold[best] > 0;
            proximal = false;
            if ((together && enter(worst)) || enter_one(best))
                std::replace(stuck, stuck + d, ptrdiff_t(1), ptrdiff_t(0));
            else
                stuck[best] = 1;
            if (proximal)
                stuck[best] = 2;
        }
        double worst;
        outside(&worst);
        p.left += promise_of_members();
    }

    bool usable(ptrdiff_t j) const { return diagonal[j] > 0 && threshold[j] < INFINITY; }

    double row(ptrdiff_t i, ptrdiff_t j) const { return i == j ? diagonal[i] : p.H[i * d + j]; }

    /* out += a H[j]. */
    void add_row(double a, ptrdiff_t j, double *out) const
    {
        add(a, p.H + j * d, out, d);
        out[j] += a * (diagonal[j] - p.H[j * d + j]);
    }

    /* The sign of a coefficient, or the one that lowers the model; 0 where it has no penalty. */
    double sign(ptrdiff_t j) const
    {
        if (threshold[j] == 0)
            return 0;
        return u[j] != 0 ? copysign(1.0, u[j]) : copysign(1.0, -s[j]);
    }

    /* -- one coordinate at a time ---------------------------------------------------------- */

    /* Move a coordinate to its minimum; returns what that gains. */
    double visit(ptrdiff_t j)
    {
        double h = diagonal[j], t = threshold[j], old = u[j], z = h * old - s[j];
        double moved = z > t ? (z - t) / h : z < -t ? (z + t) / h : 0.0, by = moved - old;
        double gain = -(by * (s[j] + 0.5 * h * by) + t * (fabs(moved) - fabs(old)));
        if (!(gain > 0))
            return 0;
        u[j] = moved;
        add_row(by, j, s);
        return gain;
    }

    double sweep(bool all)
    {
        double gain = 0;
        for (ptrdiff_t j = 0; j < d; j++)
            if (usable(j) && (all || u[j] != 0 || threshold[j] == 0))
                gain += visit(j);
        return gain;
    }

    void sweep_at_start()
    {
        for (int round = 0; round < ROUNDS; round++) {
            double gain = sweep(true), most = gain;
            for (int k = 0; k < INNER_SWEEPS; k++) {
                double more = sweep(false);
                gain += more;
                if (more <= WORTH * most)
                    break;
            }
            p.gained += gain;
            if (gain <= WORTH * p.gained)
                break;
        }
    }

    /* -- the factor ------------------------------------------------------------------------ */

    /* Have the members factored that have not been tried. */
    void factor()
    {
        for (; again > 0; again--) {
            bool found = append(size + dependent, left_of(size + dependent));
            dependent += !found;
            vacant += !found;
        }
        for (; doubtful > 0 && vacant > 0 && fill(); vacant--)
            doubtful--;
        dependent += doubtful;
        doubtful = vacant = 0;
        while (size + dependent < count)
            dependent += !append(size + dependent, left_of(size + dependent));
    }

    /* Form the row that a member would have in the factor; returns the square of its diagonal. */
    double left_of(ptrdiff_t place)
    {
        ptrdiff_t j = member[place];
        double *own = p.factor + size * d, rest = diagonal[j];
        for (ptrdiff_t k = 0; k < size; k++) {
            const double *other = p.factor + k * d;
            own[k] = (row(j, member[k]) - dot(k, own, other)) / other[k];
            rest -= own[k] * own[k];
        }
        return rest;
    }

    /* Give the row that has been formed to a member, unless that is a combination. */
    bool append(ptrdiff_t place, double rest)
    {
        if (!(rest > DEPENDENT * diagonal[member[place]]))
            return false;
        p.factor[size * d + size] = sqrt(rest);
        std::swap(member[size++], member[place]);
        return true;
    }

    /* Give a row to one of the members in doubt; returns whether there was one to give it to. */
    bool fill()
    {
        ptrdiff_t first = size + dependent, best = -1, looked = 0;
        double most = DEPENDENT;
        for (ptrdiff_t k = first; k < first + doubtful; k++) {
            double part = left_of(k) / diagonal[member[k]];
            if (part > most) {
                most = part;
                best = k;
            }
            if (best >= 0 && (++looked == LOOKS || most * (size + 1) > AMPLE))
                break;
        }
        if (best < 0)
            return false;
        std::swap(member[first], member[best]);
        return append(first, left_of(first));
    }

    /* x (size,) becomes the solution of H x = b among the factored members. */
    void solve(double *x) const
    {
        for (ptrdiff_t i = 0; i < size; i++) {
            const double *own = p.factor + i * d;
            x[i] = (x[i] - dot(i, own, x)) / own[i];
        }
        for (ptrdiff_t i = size - 1; i >= 0; i--) {
            const double *own = p.factor + i * d;
            x[i] /= own[i];
            add(-x[i], own, x, i);
        }
    }

    /* Let go of members that have become 0; returns whether any of them had a row of the factor. */
    bool drop()
    {
        ptrdiff_t gone = 0, first = size, kept = 0, part[3] = {}, last = size + dependent;
        auto stays = [&](ptrdiff_t k) { return u[member[k]] != 0 || threshold[member[k]] == 0; };
        for (ptrdiff_t k = size - 1; k >= 0; k--)
            if (!stays(k)) {
                gone++;
                first = k;
            }
        /* Taking out a row costs the square of those below it, forming them anew the cube. */
        bool anew = gone * ROWS_TAKEN_OUT > size - first;
        for (ptrdiff_t k = size - 1, rows = size; k >= 0 && !anew; k--)
            if (!stays(k))
                remove_row(k, rows--);
        for (ptrdiff_t k = 0; k < count; k++)
            if (stays(k)) {
                if (k >= size && k < last + again + doubtful)
                    part[(k >= last) + (k >= last + again)]++;
                member[kept++] = member[k];
            }
        count = kept;
        dependent = part[0];
        again = part[1];
        doubtful = part[2];
        if (gone > 0) {
            doubtful += dependent;
            dependent = 0;
        }
        vacant += gone;
        size -= gone;
        if (anew) {
            again += size - first;
            size = first;
        }
        return gone > 0;
    }

    /* Take a row out of a factor with `rows` of them: rotations turn what stood below its diagonal
     * into the rest. */
    void remove_row(ptrdiff_t q, ptrdiff_t rows)
    {
        double *cosine = bent, *sine = end_bent;
        for (ptrdiff_t i = q + 1; i < rows; i++) {
            double *own = p.factor + i * d, *out = own - d, x = own[q];
            std::copy(own, own + q, out);
            for (ptrdiff_t k = q; k < i - 1; k++) {
                double below = own[k + 1];
                out[k] = cosine[k] * below + sine[k] * x;
                x = cosine[k] * x - sine[k] * below;
            }
            double last = own[i], root = sqrt(last * last + x * x);
            out[i - 1] = root;
            cosine[i - 1] = last / root;
            sine[i - 1] = x / root;
        }
    }

    /* -- steps ----------------------------------------------------------------------------- */

    /* How far to take `direction` from u to lower the model most; `bent` is H times it.  Returns
     * whether that is where the derivative is 0, for signs as they were.  Of a step to the minimum
     * for these (`newton`) the curvature is known. */
    bool along(bool newton, double *length)
    {
        double start = 0, curvature = 0, size = 0;
        ptrdiff_t crossings = 0;
        for (ptrdiff_t k = 0; k < count; k++) {
            ptrdiff_t j = member[k];
            double by = direction[j];
            if (by == 0)
                continue;
            curvature += by * bent[j];
            size += by * diagonal[j] * by;
            start += by * s[j];
            start += threshold[j] * (u[j] > 0 ? by : u[j] < 0 ? -by : fabs(by));
            if (threshold[j] > 0 && opposed(u[j], by)) {
                at[j] = -u[j] / by;
                crossing[crossings++] = j;
            }
        }
        const double *when = at;
        std::sort(crossing, crossing + crossings, [when](ptrdiff_t a, ptrdiff_t b) {
            return when[a] < when[b] || (when[a] == when[b] && a < b);
        });
        *length = 0;
        if (!(start < 0))
            return false;
        bool lost = !(curvature > ROUNDING * size);
        if (lost)
            curvature = newton ? -start : PROXIMAL * size;
        double jumps = start;
        for (ptrdiff_t k = 0; k < crossings; k++) {
            double t = at[crossing[k]];
            if (jumps + curvature * t >= 0) {
                *length = -jumps / curvature;
                proximal = lost && !newton;
                return k == 0;
            }
            jumps += 2 * threshold[crossing[k]] * fabs(direction[crossing[k]]);
            if (jumps + curvature * t >= 0) {
                *length = t;
                return false;
            }
        }
        /* Without curvature the way leads to no minimum: the matrix is not what it should be. */
        *length = curvature > 0 ? -jumps / curvature : 0;
        proximal = lost && !newton;
        return crossings == 0;
    }

    /* What the model changes by if u goes to `end`, with H times the way there in `end_bent`. */
    double change() const
    {
        double sum = 0;
        for (ptrdiff_t k = 0; k < count; k++) {
            ptrdiff_t j = member[k];
            double by = end[j] - u[j];
            sum += by * (s[j] + 0.5 * end_bent[j]) + threshold[j] * (fabs(end[j]) - fabs(u[j]));
        }
        return sum;
    }

    /* H times the direction, whose members alone are not 0. */
    void bend()
    {
        std::fill(bent, bent + d, 0.0);
        for (ptrdiff_t k = 0; k < count; k++)
            if (direction[member[k]] != 0)
                add_row(direction[member[k]], member[k], bent);
    }

    /* Go along the direction; returns whether that lowers the model.  See `along`. */
    bool go(bool newton, bool *whole)
    {
        double length;
        bend();
        *whole = along(newton, &length);
        for (ptrdiff_t k = 0; k < count; k++) {
            ptrdiff_t j = member[k];
            bool ends = threshold[j] > 0 && opposed(u[j], direction[j]) && at[j] == length;
            end[j] = ends ? 0.0 : u[j] + length * direction[j];
        }
        for (ptrdiff_t j = 0; j < d; j++)
            end_bent[j] = length * bent[j];
        double by = change();
        if (!(by < 0))
            return false;
        take(by);
        return true;
    }

    void take(double by)
    {
        p.gained -= by;
        for (ptrdiff_t k = 0; k < count; k++)
            u[member[k]] = end[member[k]];
        add(1.0, end_bent, s, d);
    }

    /* One step of the factored members to the minimum for their signs; returns whether they are
     * there, as near as rounding lets them be. */
    bool settle()
    {
        for (ptrdiff_t k = 0; k < size; k++) {
            ptrdiff_t j = member[k];
            solution[k] = -(s[j] + threshold[j] * sign(j));
        }
        solve(solution);
        std::fill(direction, direction + d, 0.0);
        bool flips = false;
        for (ptrdiff_t k = 0; k < size; k++) {
            ptrdiff_t j = member[k];
            direction[j] = solution[k];
            flips |= threshold[j] > 0 && opposed(u[j], u[j] + solution[k]);
        }
        bool whole = false, lowered = (flips && project()) || go(true, &whole);
        drop();
        return whole || !lowered;
    }

    /* Go to the direction's end without the coefficients whose sign it would change, if that gains
     * at least half of what the way itself does; returns whether it did. */
    bool project()
    {
        double promised = 0, by = 0;
        std::fill(end_bent, end_bent + d, 0.0);
        for (ptrdiff_t k = 0; k < count; k++) {
            ptrdiff_t j = member[k];
            promised += 0.5 * direction[j] * (s[j] + threshold[j] * sign(j));
            end[j] = u[j] + direction[j];
            if (threshold[j] > 0 && opposed(u[j], end[j]))
                end[j] = 0;
            if (end[j] != u[j])
                add_row(end[j] - u[j], j, end_bent);
        }
        by = change();
        if (!(by < 0 && by <= 0.5 * promised))
            return false;
        take(by);
        return true;
    }

    /* -- zeros ----------------------------------------------------------------------------- */

    double excess(ptrdiff_t j) const
    {
        return u[j] != 0 ? s[j] + threshold[j] * copysign(1.0, u[j])
                         : fabs(s[j]) > threshold[j] ? fabs(s[j]) - threshold[j] : 0.0;
    }

    /* Sum up in `left` what zeros and members without a row could gain, each by itself; returns
     * which could gain most, or -1 if none that is not stuck could gain any. */
    ptrdiff_t outside(double *worst)
    {
        ptrdiff_t best = -1;
        p.left = *worst = 0;
        auto look = [&](ptrdiff_t j, double part) {
            double miss = excess(j), gain = 0.5 * miss * miss / (part * diagonal[j]);
            p.left += gain;
            if (gain > *worst && !stuck[j]) {
                *worst = gain;
                best = j;
            }
        };
        for (ptrdiff_t j = 0; j < d; j++)
            if (usable(j) && u[j] == 0 && threshold[j] > 0)
                look(j, stuck[j] ? PROXIMAL : 1.0);
        for (ptrdiff_t k = size; k < count; k++)
            look(member[k], PROXIMAL);
        return best;
    }

    double promise_of_members()
    {
        double sum = 0;
        for (ptrdiff_t k = 0; k < size; k++)
            sum += 0.5 * excess(member[k]) * excess(member[k]) / diagonal[member[k]];
        return sum;
    }

    /* Let the zeros that promise nearly as much as the best take a step each. */
    bool enter(double worst)
    {
        double gain = 0;
        for (ptrdiff_t j = 0; j < d; j++) {
            if (!usable(j) || u[j] != 0 || threshold[j] == 0)
                continue;
            double miss = excess(j);
            if (0.5 * miss * miss < NEARLY_BEST * worst * diagonal[j])
                continue;
            gain += visit(j);
            if (u[j] != 0)
                member[count++] = j;
        }
        p.gained += gain;
        return gain > 0;
    }

    /* Move one coordinate, with the factored members such that they stay at their minimum. */
    bool enter_one(ptrdiff_t j)
    {
        double by = u[j] != 0 ? copysign(1.0, -excess(j)) : copysign(1.0, -s[j]);
        std::fill(direction, direction + d, 0.0);
        for (ptrdiff_t k = 0; k < size; k++)
            solution[k] = -by * row(j, member[k]);
        solve(solution);
        for (ptrdiff_t k = 0; k < size; k++)
            direction[member[k]] = solution[k];
        direction[j] = by;
        if (u[j] == 0 && threshold[j] > 0)
            member[count++] = j;
        bool whole, lowered = go(false, &whole);
        /* Where another leaves, this one is no combination of the rest any more. */
        ptrdiff_t first = drop() ? size + again : count;
        for (ptrdiff_t k = first; k < first + doubtful && k < count; k++)
            if (member[k] == j)
                std::swap(member[k], member[first]);
        return lowered;
    }
};

void sign_search(SignProblem *problem)
{
    SignSearch(*problem).run();
}

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt
