"""Rows of which something is told beforehand: data whose passes take that in, block by block."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar, runtime_checkable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.checks import aligned
from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Labels, PathLike, Rows
from gaussmix.data.base import Data, InMemory, MakePass
from gaussmix.data.partitions import is_dask
from gaussmix.data.streamed import Streamed
from gaussmix.data.subsample import Reservoir, Sample, most_rows
from gaussmix.errors import ParameterError
from gaussmix.io import sinks
from gaussmix.validation import check_numbers

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

CHECKED_ROWS = 16 * GROUP_ROWS  # looked at together, so that nothing as large as the priors is made


@runtime_checkable
class ToldPass(Protocol[R_co]):
    """A pass that takes in what is told of rows, beside the rows and their weights."""

    def add_told(self, rows: Rows, weight: FloatArray | None, told: Told) -> None:
        """Take in the next rows."""

    def result(self) -> R_co:
        """Return the sums over all rows so far."""


class Classes(NamedTuple):
    """The classes that labels name, and the one that each component belongs to."""

    names: NDArray[Any]  # (C,), sorted
    owners: Labels  # (K,), numbers of classes


class ToldData:
    """Rows with what is told of them; `rows` alone are `Data`.

    Parameters
    ----------
    rows : InMemory or Streamed
    told : Told
        For every row; slices of it go along with the blocks.
    """

    gaps: bool
    """Whether rows may lack values."""

    untold: Data
    """The rows alone."""

    def __init__(self, rows: InMemory | Streamed, told: Told) -> None:
        self._describe(rows)
        self.rows, self.told = rows, told
        if len(told) != self.n_samples:
            raise ParameterError(
                f"labels and row_priors must have a row for each of the {self.n_samples} of X, got "
                f"{len(told)}"
            )

    def _describe(self, rows: Data) -> None:
        """Set what is known of the rows alone."""
        self.untold, self.gaps = rows, rows.gaps
        self.n_threads, self.n_samples = rows.n_threads, rows.n_samples
        self.n_features, self.dtype, self.weight = rows.n_features, rows.dtype, rows.weight

    def total(self, make: MakePass[R]) -> R:
        """Go over all rows once, by a pass that takes in what is told."""
        running = make(self.n_threads)
        if not isinstance(running, ToldPass):
            raise ParameterError(
                "labels and row_priors do not go with the other options of this fit: "
                f"{type(running).__name__} does not take them in"
            )
        for rows, weight, told in self.told_blocks():
            running.add_told(rows, weight, told)
        return running.result()

    def told_sample(
        self, n_groups: int, random_state: np.random.RandomState
    ) -> tuple[Sample, Told]:
        """Return rows that a start looks at, many of them such as something is told of."""
        seed = int(random_state.randint(2**31))
        make: Callable[[int | None], Any] = partial(_SamplePass, most_rows(n_groups), seed)
        drawn: _SamplePass = self.total(make)
        return drawn.sample(self.dtype)

    def by_row(self, function: Callable[..., NDArray[Any]]) -> NDArray[Any]:
        """Return what a function says of each row, given what is told of it."""
        return np.concatenate(list(self._results(function)))

    def write_by_row(
        self, function: Callable[..., NDArray[Any]], path: PathLike, names: Sequence[str]
    ) -> Path:
        """Write what a function says of each row to a file, block by block."""
        sinks.write(path, self._results(function), names)
        return Path(path)

    def _results(self, function: Callable[..., NDArray[Any]]) -> Iterator[NDArray[Any]]:
        for rows, _, told in self.told_blocks():
            yield function(rows, self.n_threads, told)

    def told_blocks(self) -> Iterator[tuple[Rows, FloatArray | None, Told]]:
        """Go through blocks of rows with their weights, and with what is told of them."""
        start = 0
        for block in self.rows.blocks():
            end = start + len(block.rows)
            yield block.rows, block.weight, self.told[start:end]
            start = end


class ToldBeside(ToldData):
    """Rows with priors that are read block by block beside them.

    Parameters
    ----------
    rows : InMemory or Streamed
    priors : Streamed
        As many rows, with a column for each term.
    """

    def __init__(self, rows: InMemory | Streamed, priors: Streamed, n_terms: int) -> None:
        self._describe(rows)
        self.rows = rows
        self._priors, self._n_terms = priors, n_terms
        if priors.n_samples != self.n_samples:
            raise ParameterError(
                f"row_priors must have a row for each of the {self.n_samples} of X, got "
                f"{priors.n_samples}"
            )

    def told_blocks(self) -> Iterator[tuple[Rows, FloatArray | None, Told]]:
        """Go through blocks of rows with their weights, and with their priors."""
        blocks, start = self._priors.blocks(), 0
        left: Rows = np.empty((0, self._priors.n_features), self._priors.dtype)
        for rows, weight in self.rows.blocks():
            while len(left) < len(rows):
                part = next(blocks).rows
                left = np.concatenate([left, part])
            priors, left = left[: len(rows)], left[len(rows) :]
            yield rows, weight, Told(_checked_priors(priors, self._n_terms, self.dtype, start))
            start += len(rows)


class _SamplePass:
    """Keeps a random sample of the rows, and one more of those of which something is told."""

    def __init__(self, most: int, seed: int, _n_threads: int | None = None) -> None:
        self._most, self._seed = most, seed
        self._parts: tuple[Reservoir, Reservoir] | None = None  # those that are known, the others
        self._n_features, self._weighted = 0, False
        self._owners: Labels | None = None

    def add_told(self, rows: Rows, weight: FloatArray | None, told: Told) -> None:
        """Let the next rows take part."""
        self._n_features, self._weighted = rows.shape[1], weight is not None
        self._owners = told.owners
        if self._parts is None:  # other parts of the rows draw other numbers
            seed = self._seed ^ crc32(np.ascontiguousarray(rows[:1]).tobytes())
            self._parts = Reservoir(self._most, seed), Reservoir(self._most, seed ^ 1)
        for start in range(0, len(rows), CHECKED_ROWS):
            part = slice(start, start + CHECKED_ROWS)
            columns = told.rows[part].reshape(len(rows[part]), -1).astype(np.float64)
            both = np.column_stack([rows[part].astype(np.float64), columns])
            some = None if weight is None else weight[part]
            known = is_known(told[part])
            for kept, own in zip(self._parts, (known, ~known), strict=True):
                kept.add(both[own], None if some is None else some[own])

    def result(self) -> Self:
        """Return this pass, with no rows to spare."""
        for kept in self._parts or ():
            kept.result()
        return self

    def __add__(self, other: "_SamplePass") -> "_SamplePass":
        if self._parts is None or other._parts is None:
            return other if self._parts is None else self
        total = copy(self)
        total._weighted = self._weighted or other._weighted
        total._parts = self._parts[0] + other._parts[0], self._parts[1] + other._parts[1]
        return total

    def sample(self, dtype: np.dtype[Any]) -> tuple[Sample, Told]:
        """Return rows with their weights, and what is told of them."""
        assert self._parts is not None, "there are rows"
        samples = [kept.sample() for kept in self._parts]
        both = np.concatenate([sample.rows for sample in samples])
        weight = np.concatenate([sample.weights for sample in samples]) if self._weighted else None
        columns = np.ascontiguousarray(both[:, self._n_features :])
        told = Told(columns)
        if self._owners is not None:
            told = Told(columns[:, 0].astype(np.int32), self._owners)
        rows = np.ascontiguousarray(both[:, : self._n_features], dtype=dtype)
        return Sample(rows, weight), told


def is_known(told: Told) -> NDArray[np.bool_]:
    """Tell of which rows something is told: (N,)."""
    if told.owners is not None:
        return np.asarray(told.rows >= 0)
    return np.asarray(told.rows.max(axis=1) > told.rows.min(axis=1))


def checked_told(
    name: str,
    values: object,
    *,
    classes: Classes | None,
    n_components: int,
    noise: bool,
    dtype: np.dtype[Any],
) -> Told:
    """Return labels or row_priors, as the name says, checked; see `gaussmix.data.telling.tell`."""
    if name == "row_priors":
        return Told(_checked_priors(values, n_components + noise, dtype))
    owners = np.arange(n_components, dtype=np.int32) if classes is None else classes.owners
    if noise:
        owners = np.append(owners, np.int32(-2))  # no label is that of the noise
    names = None if classes is None else classes.names
    return Told(_codes(values, names, n_components), owners.astype(np.int32))


def classes_of(labels: object, component_labels: object, n_components: int) -> Classes | None:
    """Return the classes of a fit; None if labels are numbers of components."""
    if component_labels is not None:
        given = _array("component_labels", component_labels)
        if given.shape != (n_components,):
            raise ParameterError(
                f"component_labels must name the class of each of {n_components} components, got "
                f"shape {given.shape}"
            )
        found, known = _known_values(given, "component_labels")
        if not known.all():
            raise ParameterError(
                "component_labels must name the class of every component, got "
                f"{given[~known].tolist()[0]!r}, which stands for none"
            )
        names, owners = np.unique(found, return_inverse=True)
        return Classes(names, owners.astype(np.int32))
    if labels is None or is_dask(labels):  # nobody looks at those before the passes do
        return None
    known = _known_values(labels)[0]
    if known.dtype.kind in "iu":
        return None
    names = np.unique(known)
    if len(names) != n_components:
        raise ParameterError(
            f"labels name {len(names)} classes, but there are n_components={n_components}: say by "
            "component_labels which class each component belongs to"
        )
    return Classes(names, np.arange(n_components, dtype=np.int32))


def _array(name: str, labels: object) -> NDArray[Any]:
    if isinstance(labels, np.ma.MaskedArray):  # what is masked is not known
        labels = np.where(np.ma.getmaskarray(labels), np.array(None), labels.data)
    try:
        return np.asarray(labels)
    except ValueError as error:  # sequences of several lengths
        raise ParameterError(f"{name} must be whole numbers or strings: {error}") from None


def _known_values(labels: object, name: str = "labels") -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the labels that are known, integers or strings, and which rows they are of."""
    values = _array(name, labels)
    if values.ndim != 1:
        raise ParameterError(f"{name} must have one label per row, got shape {values.shape}")
    if values.dtype.kind in "biu":
        if values.dtype == np.uint64:  # larger ones are no labels either
            values = np.minimum(values, np.iinfo(np.int64).max)
        values = values.astype(np.int64)
        return values[values >= 0], values >= 0
    if values.dtype.kind == "f":
        known = np.isfinite(values) & (values >= 0)
        whole = values[known].astype(np.int64)
        if np.isinf(values).any() or (whole != values[known]).any():
            raise ParameterError(f"{name} must be whole numbers, strings, or NaN, got fractions")
        return whole, known
    if values.dtype.kind == "O":
        return _known_objects(values, name)
    if values.dtype.kind != "U":
        raise ParameterError(f"{name} must be whole numbers or strings, got {values.dtype}")
    return values, np.ones(len(values), dtype=bool)


def _known_objects(values: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the labels that are known of an array of objects, and which rows they are of."""
    known = np.array([not _is_unknown(value) for value in values], dtype=bool)
    if not known.any():
        return np.empty(0, np.int64), known
    found = _array(name, values[known].tolist())
    if len({isinstance(value, str) for value in values[known]}) > 1:
        raise ParameterError(f"{name} must be all strings or all whole numbers, got both")
    if found.dtype.kind == "O":
        raise ParameterError(f"{name} must be whole numbers or strings, got {found.flat[0]!r}")
    labels, numbers = _known_values(found, name)
    known[known] = numbers
    return labels, known


def _is_unknown(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return False
    return bool(value != value or value == -1)  # NaN is not itself


def _codes(labels: object, names: NDArray[Any] | None, n_components: int) -> Labels:
    found, known = _known_values(labels)
    codes = np.full(len(known), -1, dtype=np.int32)
    if names is None:
        if found.dtype.kind not in "iu" or (len(found) and found.max() >= n_components):
            worst = found.max() if len(found) else None
            raise ParameterError(
                f"labels must be numbers of components, from 0 to {n_components - 1}, or -1 where "
                f"nothing is known, got {worst}: name classes by component_labels"
            )
        codes[known] = found
        return codes
    place = np.minimum(np.searchsorted(names, found), len(names) - 1)
    unnamed = names[place] != found
    if unnamed.any():
        raise ParameterError(
            f"labels must be among the classes {names.tolist()}, got {found[unnamed][0]!r}"
        )
    codes[known] = place
    return codes


def _checked_priors(
    row_priors: object, n_terms: int, dtype: np.dtype[Any], first_row: int = 0
) -> Rows:
    """Return priors that kernels take, the very array if they take it.

    Errors count rows from `first_row`.
    """
    priors: NDArray[Any] = check_numbers(row_priors, "row_priors")
    if priors.ndim != 2 or priors.shape[1] != n_terms:
        raise ParameterError(
            f"row_priors must have a column for each of {n_terms} terms, the components and then "
            f"the noise if there is any, got shape {priors.shape}"
        )
    if priors.dtype not in (np.float32, np.float64):
        priors = priors.astype(np.float64)
    priors = aligned(np.ascontiguousarray(priors, dtype=priors.dtype))
    least = np.finfo(dtype).tiny
    for start in range(0, len(priors), CHECKED_ROWS):
        part = priors[start : start + CHECKED_ROWS]
        bad = np.flatnonzero(~((part >= 0) & (part <= np.finfo(dtype).max)).all(axis=1))
        if len(bad):
            row = int(bad[0])
            raise ParameterError(
                "row_priors must be finite and not negative, got "
                f"{part[row].tolist()} at row {first_row + start + row}"
            )
        empty = np.flatnonzero(part.max(axis=1) < least)
        if len(empty):
            raise ParameterError(
                "row_priors must leave every row a component, but row "
                f"{first_row + start + int(empty[0])} has none above 0"
            )
    checked: Rows = priors
    return checked
