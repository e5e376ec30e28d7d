"""Triangular matrices and a panel of rows: products with one factor, and a matrix for each row.

Rows are lanes, as everywhere. U is a component's upper factor, which all rows share. L is lower, of
what each row lacks, with its rows one after the other and 1 / L_aa on the diagonal.
"""

from gaussmix._core.lanes cimport PANEL, VECTORS, inverse_root, maximum, real, splat, vec
from gaussmix._core.layout cimport GAP_TILE
from gaussmix._core.vector_math cimport vector_log2

cdef enum:
    LOG_PIVOTS = 16  # pivots at most whose product takes one logarithm


cdef inline vec least_pivot() noexcept nogil:
    """Return the least pivot of a matrix with a diagonal of ones: smaller is rounding error."""
    return splat(<real>1e-15)


cdef inline void whiten(
    const Py_ssize_t width, const real* u, const vec* x, vec* y
) noexcept nogil:
    """y = U'x, several columns at once; the factor has zeros below its diagonal."""
    cdef vec acc[GAP_TILE * VECTORS]
    cdef Py_ssize_t j = 0
    cdef Py_ssize_t i
    cdef int c, v
    while j < width:
        for c in range(GAP_TILE * VECTORS):
            acc[c] = splat(0)
        for i in range(j + GAP_TILE):
            for c in range(GAP_TILE):
                for v in range(VECTORS):
                    acc[c * VECTORS + v] += u[i * width + j + c] * x[i * VECTORS + v]
        for c in range(GAP_TILE * VECTORS):
            y[j * VECTORS + c] = acc[c]
        j += GAP_TILE


cdef inline void multiply(
    const Py_ssize_t width, const real* u, const vec* y, vec* g
) noexcept nogil:
    """g = U y, several rows at once."""
    cdef vec acc[GAP_TILE * VECTORS]
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j
    cdef int c, v
    while i < width:
        for c in range(GAP_TILE * VECTORS):
            acc[c] = splat(0)
        for j in range(i, width):
            for c in range(GAP_TILE):
                for v in range(VECTORS):
                    acc[c * VECTORS + v] += u[(i + c) * width + j] * y[j * VECTORS + v]
        for c in range(GAP_TILE * VECTORS):
            g[i * VECTORS + c] = acc[c]
        i += GAP_TILE


cdef inline void multiply_row(
    const Py_ssize_t i, const Py_ssize_t d, const real* u, const vec* y, vec* g
) noexcept nogil:
    """g = the product of row i of U, from its diagonal on, and y."""
    cdef vec acc[VECTORS]
    cdef Py_ssize_t j
    cdef int v
    for v in range(VECTORS):
        acc[v] = splat(0)
    for j in range(i, d):
        for v in range(VECTORS):
            acc[v] += u[j] * y[j * VECTORS + v]
    for v in range(VECTORS):
        g[v] = acc[v]


cdef inline void add_multiple(
    const Py_ssize_t i, const Py_ssize_t d, const real* u, const vec* x, vec* y
) noexcept nogil:
    """Add row i of U, from its diagonal on, times x, to y."""
    cdef Py_ssize_t j
    cdef int v
    for j in range(i, d):
        for v in range(VECTORS):
            y[j * VECTORS + v] += u[j] * x[v]


cdef inline void factorise(
    Py_ssize_t n, const Py_ssize_t d, const int* index, bint alike, const real* precisions,
    vec* lower,
) noexcept nogil:
    """Find L with L L' the scaled precision of what each row lacks, and 1 / L_aa on the diagonal.
    """
    cdef real* lanes
    cdef vec pivot
    cdef vec* row = lower
    cdef vec* other
    cdef Py_ssize_t a, b, c
    cdef int s, v
    for a in range(n):
        for v in range(VECTORS):
            row[a * VECTORS + v] = splat(1)
        for b in range(a):
            if alike:
                for v in range(VECTORS):
                    row[b * VECTORS + v] = splat(
                        precisions[index[a * PANEL] * (d + 1) + index[b * PANEL]])
                continue
            lanes = <real*>(row + b * VECTORS)
            for s in range(PANEL):
                lanes[s] = precisions[index[a * PANEL + s] * (d + 1) + index[b * PANEL + s]]
        other = lower
        for b in range(a + 1):
            for v in range(VECTORS):
                pivot = row[b * VECTORS + v]
                for c in range(b):
                    pivot -= row[c * VECTORS + v] * other[c * VECTORS + v]
                if b < a:
                    row[b * VECTORS + v] = pivot * other[b * VECTORS + v]
                else:
                    row[b * VECTORS + v] = inverse_root(maximum(pivot, least_pivot()))
            other += (b + 1) * VECTORS
        row += (a + 1) * VECTORS


cdef inline void solve(Py_ssize_t n, const vec* lower, vec* b) noexcept nogil:
    """Replace b by x with L L' x = b."""
    cdef const vec* row = lower
    cdef Py_ssize_t a, c
    cdef int v
    for a in range(n):
        for v in range(VECTORS):
            for c in range(a):
                b[a * VECTORS + v] -= row[c * VECTORS + v] * b[c * VECTORS + v]
            b[a * VECTORS + v] = b[a * VECTORS + v] * row[a * VECTORS + v]
        row += (a + 1) * VECTORS
    for a in range(n - 1, -1, -1):
        row -= (a + 1) * VECTORS
        for v in range(VECTORS):
            b[a * VECTORS + v] = b[a * VECTORS + v] * row[a * VECTORS + v]
            for c in range(a):
                b[c * VECTORS + v] -= row[c * VECTORS + v] * b[a * VECTORS + v]


cdef inline void log_pivots(Py_ssize_t n, const vec* lower, vec* total) noexcept nogil:
    """Find the binary logarithm of the product of 1 / L_aa, each at least 1."""
    cdef vec product[VECTORS]
    cdef Py_ssize_t a = 0
    cdef Py_ssize_t end
    cdef int v
    for v in range(VECTORS):
        total[v] = splat(0)
    while a < n:
        end = min(a + LOG_PIVOTS, n)
        for v in range(VECTORS):
            product[v] = splat(1)
        while a < end:
            for v in range(VECTORS):
                product[v] *= lower[(a * (a + 1) // 2 + a) * VECTORS + v]
            a += 1
        for v in range(VECTORS):
            product[v] = maximum(product[v], splat(1))
        vector_log2(product, VECTORS)
        for v in range(VECTORS):
            total[v] += product[v]


cdef inline void invert(
    Py_ssize_t n, const vec* lower, const vec* scales, vec* inverse
) noexcept nogil:
    """Find inv(L) with its columns scaled, a triangle in rows."""
    cdef const vec* row
    cdef vec total
    cdef Py_ssize_t a, b, c
    cdef int v
    for b in range(n):
        for a in range(b, n):
            row = lower + a * (a + 1) // 2 * VECTORS
            for v in range(VECTORS):
                total = scales[a * VECTORS + v] if a == b else splat(0)
                for c in range(b, a):
                    total -= row[c * VECTORS + v] * inverse[(c * (c + 1) // 2 + b) * VECTORS + v]
                inverse[(a * (a + 1) // 2 + b) * VECTORS + v] = total * row[a * VECTORS + v]
