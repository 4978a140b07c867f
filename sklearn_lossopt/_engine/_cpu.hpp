/* Which level runs on the processor at hand. */
#ifndef LOSSOPT_CPU_HPP
#define LOSSOPT_CPU_HPP

#include "_plan.hpp"

namespace lossopt {

namespace baseline {
extern const Level level;
}
#ifdef LOSSOPT_HAVE_V3
namespace v3 {
extern const Level level;
}
#endif

/* The best level that runs here, of x86-64-v1 and v3 at most `highest`; elsewhere there is one. */
static inline const Level *choose_level(int highest)
{
#ifdef LOSSOPT_HAVE_V3
    __builtin_cpu_init();
    if (highest >= 3 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && __builtin_cpu_supports("bmi2"))
        return &v3::level;
#endif
    return &baseline::level;
}

}  // namespace lossopt

#endif
