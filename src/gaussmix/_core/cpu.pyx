"""What this CPU supports, found out in code that runs on every CPU."""

cdef extern from "cpu.h":
    int gmx_cpu_level()


def supported():
    """Names of the builds that CPU and operating system can run, slowest first."""
    level = gmx_cpu_level()
    return ("baseline",) + tuple(f"v{n}" for n in (3, 4) if n <= level)
