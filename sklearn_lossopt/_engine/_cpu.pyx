"""What the processor at hand can run."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
    static int lossopt_cpu_level(void)
    {
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
              && __builtin_cpu_supports("bmi2")))
            return 1;
        return 3;
    }
    #else
    static int lossopt_cpu_level(void) { return 1; }
    #endif
    """
    int lossopt_cpu_level()


def level():
    """The highest of the x86-64 levels 1 and 3 that the processor has; elsewhere 1."""
    return lossopt_cpu_level()
