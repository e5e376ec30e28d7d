"""LAPACK on many small matrices, without Python between them; `reference` says what it computes."""

from libc.math cimport NAN
from scipy.linalg.cython_lapack cimport dpotrf, dtrtri

import numpy as np

from gaussmix._core.checks import check_array, check_matrices


def precision_factors(covariances, factors):
    check_matrices(covariances)
    check_array("factors", factors, covariances.shape, np.float64)
    cdef const double[:, :, ::1] given = covariances
    cdef double[:, :, ::1] out = factors
    cdef Py_ssize_t k
    with nogil:
        for k in range(given.shape[0]):
            factorise(&given[k, 0, 0], <int>given.shape[1], &out[k, 0, 0])


cdef void factorise(const double* covariance, int n, double* factor) noexcept nogil:
    """Rows are LAPACK's columns: its lower triangle becomes the upper one of the factor."""
    cdef Py_ssize_t i, j
    cdef int info
    for i in range(n):
        for j in range(n):
            factor[i * n + j] = covariance[j * n + i] if i <= j else 0
    dpotrf(b"L", &n, factor, &n, &info)
    for i in range(n):
        if not factor[i * n + i] > 0:  # LAPACK lets NaN pass
            info = 1
    if info == 0:
        dtrtri(b"L", b"N", &n, factor, &n, &info)
    else:
        for i in range(<Py_ssize_t>n * n):
            factor[i] = NAN
