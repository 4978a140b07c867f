/* The parts of a Level, each in a file of its own.  Tables end with an entry without a name. */
#ifndef LOSSOPT_LEVEL_HPP
#define LOSSOPT_LEVEL_HPP

#include "_plan.hpp"

namespace lossopt {
/* Everything is compiled once for each level, in a namespace of its own: a linker that merged inline
 * functions of different levels would leave instructions that a processor does not have. */
namespace LOSSOPT_LEVEL {

extern const Loss losses[];
extern const Optimizer optimizers[];
extern const CatchUp catch_ups[];
extern const Activation activations[];
extern const Level level;

double moments(const Csr<void> *csr, const void *X, bool single, ptrdiff_t n, ptrdiff_t d,
               const void *weight, const uint32_t *order, const double *origin, double *first,
               double *second);
double dual_sweeps(DualProblem *problem, double most_work);
void dual_predict(const DualProblem *problem, double *z);
void dual_pull(const DualProblem *problem, const double *a, double *out);
void dual_squares(const DualProblem *problem, double *out);
void sign_search(SignProblem *problem);
void interior_point(InteriorProblem *problem);
int lagrangian_step(LagrangianProblem *problem);
void column_squares(const UsedRows *rows, const double *factors, double *out);
void row_predictions(const ExtendedRows *rows, ptrdiff_t k, const double *W, double *out,
                     double *room);
void row_sums(const ExtendedRows *rows, ptrdiff_t k, const double *a, double *out, double *room);
void row_grams(const ExtendedRows *rows, ptrdiff_t k, const double *h, double *out, double *room);

}  // namespace LOSSOPT_LEVEL
}  // namespace lossopt

#endif
