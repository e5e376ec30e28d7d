"""The memory of arrays that were checked, and covariance structures as numbers."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

cdef enum Structure:  # of covariances, which says what their factors are
    FULL  # a triangle per component
    TIED  # one triangle
    DIAG  # a number per component and feature
    SPHERICAL  # a number per component


cdef inline Structure structure_of(structure) except *:
    """The number of a structure, which was checked."""
    return (FULL if structure == "full" else TIED if structure == "tied" else
            DIAG if structure == "diag" else SPHERICAL)


cdef inline void* address(array) except? NULL:
    """Where the numbers of a checked array lie: a memoryview takes several times as long."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_SIMPLE)
    PyBuffer_Release(&buffer)
    return buffer.buf


cdef inline void* writable(array) except? NULL:
    """Where the numbers of a checked array lie, to be written; an error if it is read-only."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_WRITABLE)
    PyBuffer_Release(&buffer)
    return buffer.buf
