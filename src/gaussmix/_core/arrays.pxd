"""The memory of arrays that were checked, and of structures by their number."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

cdef enum Form:  # of the factors
    FULL  # a triangle per component
    TIED  # one triangle
    DIAG  # a number per component and feature
    SPHERICAL  # a number per component


cdef inline Form form_of(structure) except *:
    return (FULL if structure == "full" else TIED if structure == "tied" else
            DIAG if structure == "diag" else SPHERICAL)


cdef inline void* address(array) except? NULL:
    """Where the numbers of a checked array lie: a memoryview takes several times as long."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_SIMPLE)
    PyBuffer_Release(&buffer)
    return buffer.buf


cdef inline void* writable(array) except? NULL:
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_WRITABLE)
    PyBuffer_Release(&buffer)
    return buffer.buf
