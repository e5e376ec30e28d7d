/* Which x86-64 levels do the CPU and the operating system support? */
#ifndef GAUSSMIX_CPU_H
#define GAUSSMIX_CPU_H

#if defined(__GNUC__) && defined(__x86_64__)

/* The compiler's own probe asks XGETBV too, so a level counts only if the system saves its
 * registers. */
static int gmx_cpu_level(void)
{
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
          __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")))
        return 1;
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl")))
        return 3;
    return 4;
}

#else

static int gmx_cpu_level(void) { return 1; }

#endif

#endif
