"""What a call keeps in memory: a packed density, the sums that it adds to, and few rows.

A part of kernels.pyx: a class needs a module of its own or a place in one.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from gaussmix._core.arrays cimport address, structure_of, writable
from gaussmix._core.estimates cimport Constants
from gaussmix._core.lanes cimport LANES, LN2, PANEL, VECTORS, gather, real, vec
from gaussmix._core.layout cimport GAP_TILE, Margins, Mixture
from gaussmix._core.moments cimport moments_order, n_moments
from gaussmix._core.packing cimport pack, packed_size

from gaussmix._core.density import window_groups
from gaussmix._core.margins import lane_tables, margins

cdef enum:
    CACHE_LINE = 64
    KEPT_BYTES = 512 * 1024  # of rows, at most, that a call copies


cdef class Buffer:
    """Memory for as long as a call takes, aligned to cache lines; it is not initialised."""

    cdef void* _start
    cdef void* address

    def __cinit__(self, Py_ssize_t n_bytes):
        self._start = PyMem_RawMalloc(n_bytes + CACHE_LINE)
        if self._start == NULL:
            raise MemoryError
        self.address = <char*>self._start + CACHE_LINE - <uintptr_t>self._start % CACHE_LINE

    def __dealloc__(self):
        PyMem_RawFree(self._start)


cdef Buffer keep_panels(Job* job, Py_ssize_t d, Py_ssize_t n_passes):
    """Lay the rows of a job out as blocks do, for several passes, if there are few of them.

    Full panels only, and not centred. The job refers to the buffer, which the caller keeps.
    """
    cdef Py_ssize_t n_panels = job.n_samples // PANEL
    cdef Py_ssize_t n_bytes = n_panels * PANEL * d * <Py_ssize_t>sizeof(real)
    job.panels = NULL
    if n_passes < 2 or job.X == NULL or not 0 < n_bytes <= KEPT_BYTES:
        return None
    cdef Buffer kept = Buffer(n_bytes)
    cdef vec* panel = <vec*>kept.address
    cdef const real* X = job.X
    cdef Py_ssize_t p, i
    cdef int v
    for p in range(n_panels):
        for i in range(d):
            for v in range(VECTORS):
                panel[v] = gather(X + v * LANES * d + i, d)
            panel += VECTORS
        X += PANEL * d
    job.panels = <const vec*>kept.address
    return kept


cdef class PackedMixture:
    """A density packed for this build, and the memory that holds it."""

    cdef Mixture mixture
    cdef object density  # keeps the arrays alive that `constants` points to
    cdef Constants constants
    cdef Buffer buffer
    cdef Margins margins  # where rows may lack values
    cdef object margin_arrays
    cdef Buffer tables

    def __init__(self, density, bint exponentials):
        self.density = density
        self.constants = Constants(
            <double*>address(density.center), <double*>address(density.means),
            <double*>address(density.factors), <double*>address(density.log_scales))
        self.mixture.structure = structure_of(density.structure)
        self.mixture.unit = LN2 if exponentials else 1
        self.mixture.n_components, self.mixture.n_features = density.means.shape
        self.mixture.n_terms = density.n_terms
        if density.log_noise is not None:
            self.mixture.log_noise = <real>(<double>density.log_noise / self.mixture.unit)
        self.buffer = Buffer(packed_size(&self.mixture) * sizeof(real))
        self.repack()
        if density.gaps:
            self.add_margins()

    cdef add_margins(self):
        """Add what rows that lack values need, in the units of log-densities."""
        cdef Py_ssize_t d = self.mixture.n_features
        self.margins.width = (d + 1 + GAP_TILE - 1) // GAP_TILE * GAP_TILE
        found = margins(self.density, self.margins.width)
        found = found._replace(
            log_scales=found.log_scales / self.mixture.unit,
            log_weights=found.log_weights / self.mixture.unit)
        arrays = [np.ascontiguousarray(array, DTYPE) for array in (*found, np.zeros(d + 1))]
        cdef Py_ssize_t lanes = (self.mixture.n_components + LANES - 1) // LANES * LANES
        tables = lane_tables(found, self.density, lanes)
        flat = np.concatenate([table.ravel() for table in tables]).astype(DTYPE)
        self.margin_arrays = arrays
        self.margins.factors = <const real*>address(arrays[0])
        self.margins.precisions = <const real*>address(arrays[1])
        self.margins.inverse_roots = <const real*>address(arrays[2])
        self.margins.log_scales = <const real*>address(arrays[3])
        self.margins.log_weights = <const real*>address(arrays[4])
        self.margins.origin = <const real*>address(arrays[5])
        self.tables = Buffer(flat.nbytes)  # for vectors, which must be aligned
        cdef real* at = <real*>self.tables.address
        self.margins.lengths = at
        self.margins.lane_means = at + d * lanes
        self.margins.roots = at + 2 * d * lanes
        memcpy(at, address(flat), flat.nbytes)
        self.margins.n_groups = window_groups(d)
        self.mixture.margins = &self.margins

    cdef void repack(self) noexcept:
        """Pack the density's constants as they are now."""
        pack(&self.mixture, &self.constants, <real*>self.buffer.address)


cdef class Sums:
    """A copy of the caller's sums in the order of a group's; the caller's last array is totals."""

    cdef Buffer buffer
    cdef double* sums
    cdef double** targets  # where each sum belongs in the caller's arrays
    cdef Py_ssize_t n

    def __init__(self, arrays, PackedMixture packed, bint moments):
        cdef Py_ssize_t n_all = sum([array.size for array in arrays])
        self.n = n_moments(&packed.mixture) + 2 if moments else n_all
        self.buffer = Buffer(self.n * (sizeof(double) + sizeof(double*)))
        self.sums = <double*>self.buffer.address
        self.targets = <double**>(self.sums + self.n)
        cdef Buffer flat_buffer = Buffer(n_all * sizeof(double*))
        cdef Buffer order_buffer = Buffer(self.n * sizeof(Py_ssize_t))
        cdef double** flat = <double**>flat_buffer.address
        cdef Py_ssize_t* order = <Py_ssize_t*>order_buffer.address
        cdef double* start
        cdef Py_ssize_t i, at = 0
        for array in arrays:
            start = <double*>writable(array)
            for i in range(array.size):
                flat[at + i] = start + i
            at += array.size
        if moments:
            moments_order(&packed.mixture, order)
            order[self.n - 2], order[self.n - 1] = n_all - 2, n_all - 1
        else:
            for i in range(self.n):
                order[i] = i
        for i in range(self.n):
            self.targets[i] = flat[order[i]]
            self.sums[i] = self.targets[i][0]

    cdef void clear(self) noexcept:
        """Set the copy to 0."""
        memset(self.sums, 0, self.n * sizeof(double))

    cdef void write_back(self) noexcept:
        """Copy the sums to the caller's arrays."""
        cdef Py_ssize_t i
        for i in range(self.n):
            self.targets[i][0] = self.sums[i]
