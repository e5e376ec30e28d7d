"""The compiled kernels; `reference` says what each computes. One source for every build.

Rows are taken in groups of GROUP_ROWS, whatever the number of threads, and a thread works through
a group in blocks that fit its cache. The parts of this file, each with one job:

- blocks.pxi: what is done with a group of rows, block by block;
- gaps.pxi: blocks of rows that lack values, gathered from where they lie;
- windows.pxi: rows of which some lack values, on several threads;
- memory.pxi: what a call keeps in memory;
- waves.pxi: groups of rows on several threads;
- nearest.pxi: the nearest centre of each row by a screen, with bounds between passes;
- centers.pxi: centres of clusters and the sums of their rows;
- seeding.pxi: the choice of the next centre by k-means++;
- cells.pxi: passes over cells of rows and the components that matter to them.
"""

import numpy as np

from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from gaussmix._core.arrays cimport FULL, TIED, Structure, address, structure_of, writable
from gaussmix._core.estimates cimport Ascent, Moments, moments_in
from gaussmix._core.lanes cimport real
from gaussmix._core.told cimport Told

from gaussmix._core.checks import (
    FLOAT64, INT32, require_array, require_cells, require_clusters, require_em, require_lloyd,
    require_no_gaps, require_pass, require_seeding, require_sums, require_told,
)

include "blocks.pxi"
include "gaps.pxi"
include "memory.pxi"
include "nearest.pxi"
include "waves.pxi"
include "windows.pxi"
include "centers.pxi"
include "seeding.pxi"
include "cells.pxi"

DTYPE = np.dtype(np.float32 if sizeof(real) == 4 else np.float64)


def log_density(X, density, out, int n_threads=1):
    """Weighted log-densities, log(weight_k N(x | mean_k, cov_k)), into `out` (N, T), X's dtype."""
    n_samples, _, _ = require_call(X, density, n_threads)
    require_array("out", out, (n_samples, density.n_terms), X.dtype)
    cdef Job job = new_job(LOG_DENSITY)
    job.out = <real*>writable(out)
    run(&job, X, None, density, (), n_threads)


def log_likelihood(X, density, out, int n_threads=1, told=None):
    """Log-likelihood of each row, log sum_k exp l_k(x), into `out` (N,), X's dtype."""
    n_samples, _, _ = require_call(X, density, n_threads)
    require_array("out", out, (n_samples,), X.dtype)
    cdef Job job = new_job(LOG_LIKELIHOOD)
    set_told(&job, told, X, density)
    job.out = <real*>writable(out)
    run(&job, X, None, density, (), n_threads)


def responsibilities(X, density, out, int n_threads=1, told=None):
    """Posterior probability of each component given each row, into `out` (N, T), X's dtype."""
    n_samples, _, _ = require_call(X, density, n_threads)
    require_array("out", out, (n_samples, density.n_terms), X.dtype)
    cdef Job job = new_job(RESPONSIBILITIES)
    set_told(&job, told, X, density)
    job.out = <real*>writable(out)
    run(&job, X, None, density, (), n_threads)


def assign(X, density, labels, best, int n_threads=1, told=None):
    """Most probable component of each row into `labels` (N,), its l_k into `best` (N,) if given."""
    n_samples, _, _ = require_cast(X, density, n_threads)
    require_array("labels", labels, (n_samples,), INT32)
    cdef Job job = new_job(ASSIGN)
    set_told(&job, told, X, density)
    job.labels = <int*>writable(labels)
    if best is not None:
        require_array("best", best, (n_samples,), DTYPE)
        job.out = <real*>writable(best)
    run(&job, X, None, density, (), n_threads)


def accumulate(
    X, sample_weight, density, n_k, first, second, totals, int n_threads=1, labels=None, told=None
):
    """Add the statistics of soft assignment: the one pass that EM makes over the data."""
    cdef Py_ssize_t n_components, n_features
    n_samples, n_components, n_features = require_cast(X, density, n_threads, sample_weight)
    require_sums(density, n_k, first, second, totals)
    cdef Job job = new_job(ACCUMULATE)
    set_told(&job, told, X, density)
    if labels is not None:
        require_no_gaps(density)
        require_array("labels", labels, (n_samples,), INT32)
        job.labels = <int*>address(labels)
    run(&job, X, sample_weight, density, (n_k, first, second, totals), n_threads)
    mirror_triangles(
        structure_of(density.structure), n_components, n_features, <double*>writable(second))


def accumulate_hard(X, sample_weight, density, labels, n_k, first, totals, int n_threads=1):
    """Add the sums of hard assignment, each row to its most probable component: K-means' pass."""
    n_samples, _, _ = require_call(X, density, n_threads, sample_weight)
    require_no_gaps(density)
    require_sums(density, n_k, first, None, totals)
    cdef Job job = new_job(ACCUMULATE_HARD)
    if labels is not None:
        require_array("labels", labels, (n_samples,), INT32)
        job.labels = <int*>writable(labels)
    run(&job, X, sample_weight, density, (n_k, first, totals), n_threads)


def accumulate_likelihood(X, sample_weight, density, totals, int n_threads=1, told=None):
    """Add the rows' weighted log-likelihood and weight to totals (2,): those of `accumulate`."""
    require_call(X, density, n_threads, sample_weight)
    require_array("totals", totals, (2,), FLOAT64)
    cdef Job job = new_job(ACCUMULATE_LIKELIHOOD)
    set_told(&job, told, X, density)
    run(&job, X, sample_weight, density, (totals,), n_threads)


def accumulate_cells(
    X, sample_weight, density, cells, n_k, first, second, totals, masses, labels, int n_threads=1
):
    """Add the statistics of soft assignment to the components on each cell's list."""
    cdef Py_ssize_t n_components, n_features, size
    _, n_components, n_features = require_cast(X, density, n_threads, sample_weight)
    require_sums(density, n_k, first, second, totals)
    cdef PackedMixture packed = PackedMixture(density, True)
    cdef Mixture one = packed.mixture
    one.n_components = one.n_terms = 1
    size = 1 + moments_per_component(&one)
    cdef Buffer places = Buffer(n_moments(&one) * sizeof(Py_ssize_t))
    cdef Buffer total = Buffer((n_components * size + n_features * n_features) * sizeof(double))
    arrays = [<size_t>writable(array) for array in (n_k, first, second)]
    moments_order(&one, <Py_ssize_t*>places.address)
    move_sums(&packed.mixture, <Py_ssize_t*>places.address, False, <double*><size_t>arrays[0],
              <double*><size_t>arrays[1], <double*><size_t>arrays[2], <double*>total.address)
    go_over_cells(ACCUMULATE, X, sample_weight, density, packed, cells, <double*>total.address,
                  totals, masses, labels, n_threads)
    move_sums(&packed.mixture, <Py_ssize_t*>places.address, True, <double*><size_t>arrays[0],
              <double*><size_t>arrays[1], <double*><size_t>arrays[2], <double*>total.address)
    mirror_triangles(
        structure_of(density.structure), n_components, n_features, <double*>writable(second))


def weigh_cells(X, sample_weight, density, cells, totals, masses, labels, int n_threads=1):
    """Find how much each component on a cell's list matters to it, and no more."""
    require_cast(X, density, n_threads, sample_weight)
    require_array("totals", totals, (2,), FLOAT64)
    go_over_cells(ACCUMULATE_LIKELIHOOD, X, sample_weight, density, PackedMixture(density, True),
                  cells, NULL, totals, masses, labels, n_threads)


cdef go_over_cells(
    Task task, X, sample_weight, density, PackedMixture packed, cells, double* total, totals,
    masses, labels, Py_ssize_t n_threads,
):
    """Do a job for all rows of the cells, which are checked here."""
    require_cells(X.shape[0], density, cells, masses, labels)
    cdef Job job = new_job(task)
    set_rows(&job, X, sample_weight)
    if labels is not None:
        job.labels = <int*>writable(labels)
    cdef Cells given = Cells(
        cells.n_cells, <const int*>address(cells.order), <const int64_t*>address(cells.rows),
        <const int64_t*>address(cells.lists), <const int*>address(cells.components))
    cdef CellPass work = CellPass(
        &job, &packed.mixture, &packed.constants, &given,
        0 if packed.mixture.structure == TIED else density.factors.size // len(density.means),
        <double*>writable(masses))
    if given.n_cells > 0:
        run_cells(&work, total, <double*>writable(totals), n_threads)


def lloyd(
    X, sample_weight, centers, labels, n_k, totals, int max_iter, double threshold, int n_threads=1,
    tally=None,
):
    """Move centres to the means of their rows, until labels or centres stay (Bishop, PRML, 9.1)."""
    _, n_clusters, _ = require_lloyd(
        X, sample_weight, centers, labels, n_k, totals, n_threads, tally)
    require_array("X", X, X.shape, DTYPE)
    cdef Job job = new_job(ACCUMULATE_HARD)
    job.labels = <int*>writable(labels)
    set_rows(&job, X, sample_weight)
    cdef Buffer _kept = keep_panels(&job, X.shape[1], max_iter)
    cdef Centers moving = Centers(centers)
    cdef double* n_k_out = <double*>writable(n_k)
    cdef double* totals_out = <double*>writable(totals)
    cdef bint ended = False
    cdef int n_iter = improve(&job, moving, max_iter, threshold, &ended, n_threads)
    if not ended:
        return n_iter, False
    if tally is not None:
        memcpy(writable(tally), moving.tally, sizeof(moving.tally))
    moving.find_totals(&job, n_threads)
    memcpy(n_k_out, moving.n_k, n_clusters * sizeof(double))
    memcpy(totals_out, moving.n_k + moving.n_sums - 2, 2 * sizeof(double))
    return n_iter, True


cdef int improve(
    Job* job, Centers moving, int max_iter, double threshold, bint* ended, Py_ssize_t n_threads
) except -1:
    """Do what `lloyd` does, but for the sums; return the number of passes."""
    cdef size_t n_bytes = job.n_samples * sizeof(int)
    cdef Buffer kept = Buffer(n_bytes)
    cdef double movement = INFINITY
    cdef int n_iter = 0
    cdef bint same = False
    moving.keep_bounds(job.n_samples)
    while not same and n_iter < max_iter and not movement <= threshold:
        memcpy(kept.address, job.labels, n_bytes)
        moving.find_nearest(job, n_threads)
        if moving.any_empty():
            memcpy(job.labels, kept.address, n_bytes)
            ended[0] = False
            return n_iter
        same = memcmp(job.labels, kept.address, n_bytes) == 0
        if not same:
            movement = moving.move()
        n_iter += 1
    if not same:
        moving.find_nearest(job, n_threads)
    ended[0] = True
    return n_iter


def em(
    X, sample_weight, Ascent ascent not None, bounds, double tol, double previous, int n_threads=1,
    labels=None,
):
    """Repeat E-step and M-step until what they climb settles (Bishop, PRML, 9.2.2 and 10.2.1)."""
    require_em(X, sample_weight, ascent.size.n_features, bounds, n_threads)
    require_array("X", X, X.shape, DTYPE)
    cdef Job job = new_job(ACCUMULATE)
    set_rows(&job, X, sample_weight)
    if labels is not None:
        require_array("labels", labels, X.shape[:1], INT32)
        job.labels = <int*>address(labels)
    cdef Buffer _kept = keep_panels(&job, X.shape[1], len(bounds))
    return climb(&job, ascent, bounds, tol, previous, n_threads)


cdef climb(Job* job, Ascent ascent, bounds, double tol, double previous, Py_ssize_t n_threads):
    """Do what `em` does with the rows of a job; labels are those of a first M-step."""
    cdef Py_ssize_t d = ascent.size.n_features
    cdef Py_ssize_t n_bounds = len(bounds)
    cdef Py_ssize_t n_iter = 0
    cdef Py_ssize_t i
    cdef PackedMixture packed = PackedMixture(ascent.density, True)
    table = ascent.density.means.shape
    shift, n_k, first = np.empty(table), np.zeros(table[0]), np.zeros(table)
    second, totals = np.zeros(ascent.density.factors.shape), np.zeros(2)
    cdef Sums total = Sums((n_k, first, second, totals), packed, True)
    cdef Moments moments = moments_in(shift, n_k, first, second)
    cdef double* shifted = <double*>writable(shift)
    cdef const double* likelihood_and_weight = <const double*>address(totals)
    cdef double* bound = <double*>writable(bounds)
    cdef double found
    cdef bint sound
    while n_iter < n_bounds:
        ascent.update_density(sizeof(real) == sizeof(float))
        packed.repack()
        total.clear()
        run_waves(job, &packed.mixture, total.sums, total.n, n_threads)
        total.write_back()
        mirror_triangles(
            ascent.size.structure, ascent.size.n_components, d, <double*>moments.second)
        for i in range(ascent.size.n_components * d):
            shifted[i] = packed.constants.center[i % d] + packed.constants.means[i]
        moments.row_weight = likelihood_and_weight[1] / job.n_samples
        with nogil:
            found = ascent.bound(likelihood_and_weight[0], likelihood_and_weight[1])
            sound = ascent.move(&moments)
        if not sound:
            return n_iter, False
        if job.labels != NULL:
            job.labels = NULL
            continue
        bound[n_iter] = found
        n_iter += 1
        if fabs(found - previous) < tol:
            return n_iter, True
        previous = found
    return n_bounds, False


def plus_plus(X, sample_weight, uniforms, chosen, int n_trials, int n_threads=1):
    """Choose first centres by greedy k-means++ (Arthur & Vassilvitskii, 2007, 2.2 and 5)."""
    n_clusters, n_features = require_seeding(
        X, sample_weight, uniforms, chosen, n_trials, n_threads)
    require_array("X", X, X.shape, DTYPE)
    cdef Job job = new_job(LOG_DENSITY)
    set_rows(&job, X, sample_weight)
    cdef Buffer _kept = keep_panels(&job, n_features, n_clusters)
    seed(&job, n_features, <const double*>address(uniforms), <int64_t*>writable(chosen), n_clusters,
         n_trials, n_threads)


cdef seed(
    Job* job, Py_ssize_t d, const double* uniform, int64_t* rows, Py_ssize_t n_clusters,
    Py_ssize_t n_trials, Py_ssize_t n_threads,
):
    """Do what `plus_plus` does with the rows (N, D) of a job."""
    trials = np.empty((n_trials, d))
    cdef Centers first = Centers(trials[:1])
    cdef Centers several = Centers(trials)
    cdef Centers candidates
    cdef Choice choice
    cdef Buffer row_buffer = Buffer(
        job.n_samples * (sizeof(double) + (1 + n_trials) * sizeof(real)))
    choice.n_samples = job.n_samples
    choice.sample_weight = job.sample_weight
    choice.cumulated = <double*>row_buffer.address
    choice.closest = <real*>(choice.cumulated + job.n_samples)
    choice.nearer = job.out = choice.closest + job.n_samples
    cdef Buffer trial_buffer = Buffer(n_trials * (sizeof(int64_t) + sizeof(double)))
    cdef int64_t* drawn = <int64_t*>trial_buffer.address
    choice.gains = <double*>(drawn + n_trials)
    cdef Py_ssize_t c, t, i
    for i in range(job.n_samples):
        choice.closest[i] = <real>-INFINITY
    for c in range(n_clusters):
        candidates = several if c else first
        choice.n_trials = n_trials if c else 1
        with nogil:
            cumulate(&choice, c == 0)
        for t in range(choice.n_trials):
            drawn[t] = drawn_row(&choice, uniform[t])
            for i in range(d):
                candidates.centers[t * d + i] = job.X[drawn[t] * d + i]
        uniform += choice.n_trials
        candidates.repack()
        run_waves(job, &candidates.mixture, candidates.n_k, 0, n_threads)
        with nogil:
            rows[c] = drawn[take_best(&choice)]


def em_from_kmeans(
    view, X, sample_weight, uniforms, int n_trials, int max_passes, double threshold, labels,
    Ascent ascent not None, bounds, double tol, int n_threads=1,
):
    """Do `em` from the clusters that K-means finds in other coordinates of the rows."""
    chosen = np.empty(ascent.size.n_components, dtype=np.int64)
    require_em(X, sample_weight, ascent.size.n_features, bounds, n_threads)
    require_array("X", X, X.shape, DTYPE)
    require_clusters(X, view, sample_weight, uniforms, chosen, n_trials, labels, n_threads)
    cdef Job job = new_job(LOG_DENSITY)
    set_rows(&job, view, sample_weight)
    cdef Buffer _kept = keep_panels(&job, view.shape[1], len(chosen) + max_passes)
    seed(&job, view.shape[1], <const double*>address(uniforms), <int64_t*>writable(chosen),
         len(chosen), n_trials, n_threads)
    centers = view[chosen].astype(np.float64)
    cdef Centers moving = Centers(centers)
    cdef bint ended = False
    job.task, job.labels = ACCUMULATE_HARD, <int*>writable(labels)
    labels.fill(-1)
    cdef int n_passes = improve(&job, moving, max_passes, threshold, &ended, n_threads)
    if not ended:
        moving.find_nearest(&job, n_threads)
    job.task, job.X = ACCUMULATE, <const real*>address(X)
    _kept = keep_panels(&job, X.shape[1], len(bounds))
    n_iter, settled = climb(&job, ascent, bounds, tol, -INFINITY, n_threads)
    return n_passes, n_iter, settled


def require_call(X, density, n_threads, sample_weight=None):
    """Raise unless the arguments fit together and this build; return (N, K, D)."""
    shape = require_pass(X, density, n_threads, sample_weight)
    require_array("X", X, X.shape, DTYPE)
    return shape


def require_cast(X, density, n_threads, sample_weight=None):
    """Do what `require_call` does, but take rows of float64 in a build for float32, too."""
    shape = require_pass(X, density, n_threads, sample_weight)
    if X.dtype != FLOAT64 or density.gaps:
        require_array("X", X, X.shape, DTYPE)
    return shape


cdef void mirror_triangles(
    Structure structure, Py_ssize_t n_components, Py_ssize_t d, double* second
) noexcept:
    """Copy the upper triangles of second moments, which the passes fill, to the lower ones."""
    cdef Py_ssize_t n = n_components if structure == FULL else 1 if structure == TIED else 0
    cdef Py_ssize_t k, i, j
    for k in range(n):
        for i in range(d):
            for j in range(i):
                second[(k * d + i) * d + j] = second[(k * d + j) * d + i]


cdef Job new_job(Task task) noexcept:
    """A job that is given rows and arrays later."""
    return Job(
        task, 0, NULL, NULL, NULL, NULL, 1, NULL, NULL, Told(NULL, NULL, NULL, False), NULL)


cdef set_told(Job* job, told, X, density):
    """Give a job what is told of its rows, which is checked here."""
    require_told(told, X.shape[0], density.n_terms)
    if told is None:
        return
    if told.owners is None:
        job.told.priors = address(told.rows)
        job.told.single = told.rows.itemsize == sizeof(float)
    else:
        job.told.codes = <const int*>address(told.rows)
        job.told.owners = <const int*>address(told.owners)


cdef run(Job* job, X, sample_weight, density, sums, Py_ssize_t n_threads):
    """Do a job for all rows of X, adding to the arrays `sums` if the job has any."""
    cdef bint exponentials = job.task in (
        LOG_LIKELIHOOD, RESPONSIBILITIES, ACCUMULATE, ACCUMULATE_LIKELIHOOD)
    cdef PackedMixture packed = PackedMixture(density, exponentials)
    cdef Sums total = Sums(sums, packed, job.task == ACCUMULATE)
    set_rows(job, X, sample_weight)
    run_waves(job, &packed.mixture, total.sums, total.n, n_threads)
    total.write_back()


cdef set_rows(Job* job, X, sample_weight):
    """Give a job its rows and their weights."""
    job.n_samples = X.shape[0]
    if X.dtype == DTYPE:
        job.X = <const real*>address(X)
    else:
        job.wide = <const double*>address(X)
    if sample_weight is not None and job.n_samples > 0:
        job.sample_weight = <const double*>address(sample_weight)
        job.weight_unit = 2.0 ** np.frexp(sample_weight.max())[1]
