"""Soft clusters that nest: the components of a mixture, merged step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import DaskLike, FloatArray, Labels, PathLike, Rows, RowsLike
from gaussmix.data.base import ByRow, Data
from gaussmix.data.parallel import for_blocks
from gaussmix.display.tables import MOST_ROWS, as_html
from gaussmix.errors import ParameterError
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import threads_for
from gaussmix.queries.merging import (
    Cluster,
    Members,
    Merge,
    block_rows,
    cluster_shares,
    gains,
    merge_by_distance,
    merge_by_entropy,
)
from gaussmix.validation import check_integer

EachRow: TypeAlias = Callable[[ByRow, object, PathLike | None, Sequence[str]], Any]

CRITERIA = ("entropy", "bhattacharyya")

FAR_APART = float(np.log(10))
"""Bhattacharyya distance at which merging should end: two clusters that far apart are mistaken for
each other in at most exp(-distance) = 0.1 of their rows (Hennig, 2010)."""

CLEAR = 0.01
"""Nats. Rows of less entropy than this, on average, belong to one component with a probability of
0.998 or so: the components are clusters as they are."""


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Soft clusterings of a mixture, nested in each other. `GaussianMixture.hierarchy` makes it.

    At the level of m clusters each cluster is a set of components, and a row belongs to it with
    the sum of their responsibilities. The clusters of a level are unions of those of the next
    finer one: a row belongs to nested clusters at once, and to the wider ones more surely.

    Attributes
    ----------
    criterion : {'entropy', 'bhattacharyya'}
    linkage : ndarray of shape (n_components - 1, 4)
        The merges in SciPy's form, which `scipy.cluster.hierarchy.dendrogram` draws: the two
        clusters merged (component k is k, the union made by merge i is n_components + i), a height,
        and the number of components in the union. The height is the entropy that the merges so far
        have taken away, or the largest Bhattacharyya distance so far, so it never falls.
    entropies : ndarray of shape (n_components,), or None
        Entropy of the clusterings into 1, 2, ... n_components clusters, in nats, summed over the
        rows. None if the merging saw no rows. Noise is never merged, and the entropy between it and
        all clusters, which no merge changes, is left out.
    n_clusters : int
        The number of clusters suggested. By entropy it is the elbow of `entropies`: where two
        straight lines, fitted by least squares to the levels up to it and from it on, fit best
        (Baudry et al., 2010). Components that are clear clusters already, with less than 0.01 nats
        of entropy a row, are left alone, and so are fewer than 3. By distance it is where all
        distances exceed log 10 (Hennig, 2010).

    References
    ----------
    J.-P. Baudry, A. E. Raftery, G. Celeux, K. Lo, R. Gottardo, Combining mixture components for
    clustering. Journal of Computational and Graphical Statistics 19(2), 2010.

    C. Hennig, Methods for merging Gaussian mixture components. Advances in Data Analysis and
    Classification 4(1), 2010.
    """

    criterion: str
    linkage: FloatArray
    entropies: FloatArray | None
    n_clusters: int
    _parameters: Parameters = field(repr=False)
    _each_row: EachRow = field(repr=False)

    @property
    def n_components(self) -> int:
        """Number of components, the clusters of the finest level."""
        return self._parameters.n_components

    def labels(self, n_clusters: int | None = None) -> Labels:
        """Return the cluster that each component belongs to at a level.

        Parameters
        ----------
        n_clusters : int, optional
            From 1 to n_components; by default the suggested number.

        Returns
        -------
        ndarray of shape (n_components,), int32
            From 0 to n_clusters - 1, in order of the clusters' first components.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> params = [0.3, 0.3, 0.4], [[0], [2], [9]], [1, 1, 1]
        >>> mixture = GaussianMixture.from_parameters(*params, "spherical")
        >>> hierarchy = mixture.hierarchy(criterion="bhattacharyya")
        >>> hierarchy.labels(), hierarchy.labels(1)
        (array([0, 0, 1], dtype=int32), array([0, 0, 0], dtype=int32))
        """
        n_clusters = self._level(n_clusters)
        cluster = np.arange(self.n_components)
        for i, pair in enumerate(self.linkage[: self.n_components - n_clusters, :2]):
            cluster[np.isin(cluster, pair)] = self.n_components + i
        _, first, number = np.unique(cluster, return_index=True, return_inverse=True)
        return first.argsort().argsort()[number].astype(np.int32)

    @overload
    def predict_proba(
        self, X: DaskLike, n_clusters: int | None = None, *, out: None = None
    ) -> Any: ...
    @overload
    def predict_proba(
        self, X: RowsLike, n_clusters: int | None = None, *, out: None = None
    ) -> Rows: ...
    @overload
    def predict_proba(
        self, X: RowsLike, n_clusters: int | None = None, *, out: PathLike
    ) -> Path: ...
    def predict_proba(
        self, X: RowsLike, n_clusters: int | None = None, *, out: PathLike | None = None
    ) -> Any:
        """Return the probability that each row belongs to each cluster of a level.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        n_clusters : int, optional
            From 1 to n_components; by default the suggested number.
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            float32 for float32 rows, else float64. Columns are in the order of `labels`, and one
            more is the noise if there is any. Of a Dask collection a lazy dask array; with `out`
            its path.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> params = [0.3, 0.3, 0.4], [[0], [2], [9]], [1, 1, 1]
        >>> mixture = GaussianMixture.from_parameters(*params, "spherical")
        >>> hierarchy = mixture.hierarchy(criterion="bhattacharyya")
        >>> hierarchy.predict_proba([[1.0], [5.5]], n_clusters=2).round(2)
        array([[1.  , 0.  ],
               [0.43, 0.57]])
        """
        members = self._members(n_clusters)
        names = self.column_names(n_clusters)
        return self._each_row(partial(_shares, self._parameters, members), X, out, names)

    @overload
    def predict(self, X: DaskLike, n_clusters: int | None = None, *, out: None = None) -> Any: ...
    @overload
    def predict(
        self, X: RowsLike, n_clusters: int | None = None, *, out: None = None
    ) -> Labels: ...
    @overload
    def predict(self, X: RowsLike, n_clusters: int | None = None, *, out: PathLike) -> Path: ...
    def predict(
        self, X: RowsLike, n_clusters: int | None = None, *, out: PathLike | None = None
    ) -> Any:
        """Return the most probable cluster of each row at a level.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        n_clusters : int, optional
            From 1 to n_components; by default the suggested number.
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples,), int32
            -1 is the noise. Of a Dask collection a lazy dask array; with `out` its path.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> params = [0.3, 0.3, 0.4], [[0], [2], [9]], [1, 1, 1]
        >>> mixture = GaussianMixture.from_parameters(*params, "spherical")
        >>> hierarchy = mixture.hierarchy(criterion="bhattacharyya")
        >>> hierarchy.predict([[1.0], [8.0]], n_clusters=2)
        array([0, 1], dtype=int32)
        """
        members = self._members(n_clusters)
        return self._each_row(partial(_labels, self._parameters, members), X, out, ["cluster"])

    def plot(self, ax: Any = None, colors: Sequence[Any] | NDArray[Any] | None = None) -> Any:
        """Draw the tree, level by level, and beside it the entropies and their elbow.

        Parameters
        ----------
        ax : matplotlib Axes, Figure or SubFigure, optional
            Axes get the tree alone. A figure should be empty. By default it is a new one of
            pyplot's, as wide as the components need.
        colors : sequence of matplotlib colours, optional
            One for each of the `n_clusters` clusters, in the order of `labels`.

        Returns
        -------
        matplotlib Axes, or an array of them
            The axes that were given; of a figure the array of its one or two.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` is neither axes nor a figure, or the colours are not one for each cluster.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> params = [0.3, 0.3, 0.4], [[0], [2], [9]], [1, 1, 1]
        >>> mixture = GaussianMixture.from_parameters(*params, "spherical")
        >>> hierarchy = mixture.hierarchy(criterion="bhattacharyya")
        >>> axes = hierarchy.plot()
        >>> axes[0].get_ylabel()
        'number of clusters'
        """
        from gaussmix.plotting.tree import draw_tree

        return draw_tree(self.tree(), ax, colors)

    def column_names(self, n_clusters: int | None = None) -> list[str]:
        """Return what the columns of `predict_proba` are called in files.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> params = [0.3, 0.3, 0.4], [[0], [2], [9]], [1, 1, 1]
        >>> mixture = GaussianMixture.from_parameters(*params, "spherical")
        >>> mixture.hierarchy(criterion="bhattacharyya").column_names(2)
        ['cluster 0', 'cluster 1']
        """
        names = [f"cluster {label}" for label in range(self._level(n_clusters))]
        return names if self._parameters.noise is None else [*names, "noise"]

    def tree(self) -> Any:
        """Return what `gaussmix.plotting.tree` draws.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> params = [0.3, 0.3, 0.4], [[0], [2], [9]], [1, 1, 1]
        >>> mixture = GaussianMixture.from_parameters(*params, "spherical")
        >>> hierarchy = mixture.hierarchy(criterion="bhattacharyya")
        >>> hierarchy.tree().labels
        array([0, 0, 1], dtype=int32)
        """
        from gaussmix.plotting.tree import Tree

        return Tree(self.linkage, self.labels(), self.entropies, self._elbow_lines())

    def _repr_html_(self) -> str:
        """Show the levels up to some beyond the suggested one, in notebooks."""
        deepest = min(self.n_components, max(MOST_ROWS, self.n_clusters + 1))
        rows = []
        for level in range(1, deepest + 1):
            entropy = "" if self.entropies is None else f"{self.entropies[level - 1]:.6g}"
            sizes = np.bincount(self.labels(level))
            mark = "*" if level == self.n_clusters else ""
            rows.append((f"{level}{mark}", entropy, ", ".join(map(str, sizes))))
        facts = [f"{self.n_clusters} clusters suggested, by {self.criterion}"]
        heads = ("clusters", "entropy", "components in each")
        return as_html(f"Hierarchy of {self.n_components} components", facts, heads, rows)

    def _elbow_lines(self) -> list[tuple[FloatArray, NDArray[np.intp]]]:
        """The two straight lines that meet at the suggested level: entropies, and levels."""
        if self.entropies is None or self.criterion != "entropy":
            return []
        levels = np.arange(1, len(self.entropies) + 1)
        parts = (slice(0, self.n_clusters), slice(self.n_clusters - 1, None))
        return [
            (_line(levels[part], self.entropies[part]), levels[part])
            for part in parts
            if len(levels[part]) > 1
        ]

    def _level(self, n_clusters: int | None) -> int:
        if n_clusters is None:
            return self.n_clusters
        level = check_integer("n_clusters", n_clusters, 1)
        if level > self.n_components:
            raise ParameterError(
                f"n_clusters must be at most {self.n_components}, the number of components, "
                f"got {n_clusters!r}"
            )
        return level

    def _members(self, n_clusters: int | None) -> list[NDArray[np.intp]]:
        """Components of each cluster of a level, and then the noise if there is any."""
        labels = self.labels(n_clusters)
        members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
        return members + [np.array([self.n_components])] * (self._parameters.noise is not None)


def nest(parameters: Parameters, data: Data | None, each_row: EachRow, criterion: str) -> Hierarchy:
    """Merge the components of a mixture, by the rows if there are any.

    `each_row` returns or writes what a function says of each row, for `Hierarchy.predict`.
    """
    if criterion == "bhattacharyya":
        merges = merge_by_distance(parameters)
        heights = np.maximum.accumulate([0.0, *(merge.value for merge in merges)])[1:]
        entropies = None if data is None else _entropies(_drops(merges, parameters, data))
        n_clusters = parameters.n_components - int((heights <= FAR_APART).sum())
    elif data is None:
        raise ParameterError(
            "X must be given for criterion='entropy', which sums over its rows, but is None; "
            "criterion='bhattacharyya' needs only the mixture"
        )
    else:
        merges = merge_by_entropy(parameters, data)
        drops = np.array([merge.value for merge in merges])
        heights, entropies = np.cumsum(drops), _entropies(drops)
        n_clusters = elbow(entropies, data.weight)
    linkage = _linkage(parameters.n_components, merges, heights)
    return Hierarchy(criterion, linkage, entropies, n_clusters, parameters, each_row)


def _shares(
    parameters: Parameters,
    members: Sequence[Members],
    X: Rows,
    n_threads: int | None,
    *,
    gaps: bool = False,
) -> Rows:
    """Probabilities of clusters (N, n_clusters)."""
    proba = np.empty((len(X), len(members)), dtype=X.dtype)

    def write(block: slice, shares: Rows) -> None:
        proba[block] = shares.T

    _each_block(parameters, members, X, n_threads, write, gaps=gaps)
    return proba


def _labels(
    parameters: Parameters,
    members: Sequence[Members],
    X: Rows,
    n_threads: int | None,
    *,
    gaps: bool = False,
) -> Labels:
    """Most probable clusters (N,)."""
    labels = np.empty(len(X), dtype=np.int32)

    def write(block: slice, shares: Rows) -> None:
        labels[block] = shares.argmax(axis=0)

    _each_block(parameters, members, X, n_threads, write, gaps=gaps)
    if parameters.noise is not None:
        labels[labels == len(members) - 1] = -1
    return labels


def _each_block(
    parameters: Parameters,
    members: Sequence[Members],
    X: Rows,
    n_threads: int | None,
    write: Callable[[slice, Rows], None],
    *,
    gaps: bool,
) -> None:
    """Hand every block of rows and its clusters' shares to a function."""
    density = parameters.density(X.dtype, gaps=gaps)
    count = threads_for(n_threads, X, parameters)

    def block(rows: slice) -> None:
        write(rows, cluster_shares(X[rows], density, members))

    for_blocks(block, len(X), block_rows(parameters.n_components), count)


def elbow(entropies: FloatArray, total: float) -> int:
    """Return where two straight lines fit the entropies of 1, 2, ... clusters best.

    `total` is the weight of the rows that the entropies are sums over.
    """
    n_components = len(entropies)
    if n_components < 3 or entropies[-1] < CLEAR * total:
        return n_components
    levels = np.arange(1, n_components + 1)

    def misfit(end: int) -> float:
        parts = (slice(0, end), slice(end - 1, None))  # both have the level at which they meet
        errors = [_line(levels[part], entropies[part]) - entropies[part] for part in parts]
        return float(np.square(np.concatenate(errors)).sum())

    return min(range(2, n_components), key=misfit)


def _line(x: NDArray[np.intp], y: FloatArray) -> FloatArray:
    """Values at x of the straight line of least squares."""
    return np.asarray(np.polyval(np.polyfit(x, y, 1), x), np.float64)


def _drops(merges: list[Merge], parameters: Parameters, data: Data) -> FloatArray:
    """Entropy that each merge takes away."""
    taken = gains({merge.pair for merge in merges}, parameters, data)
    return np.array([taken[merge.pair] for merge in merges])


def _entropies(drops: FloatArray) -> FloatArray:
    """Entropies of 1, 2, ... clusters: one cluster has none, and what merges take adds up."""
    return np.append(0.0, np.cumsum(drops[::-1]))


def _linkage(n_components: int, merges: list[Merge], heights: FloatArray) -> FloatArray:
    number: dict[Cluster, int] = {frozenset((k,)): k for k in range(n_components)}
    linkage = np.empty((len(merges), 4))
    for i, merge in enumerate(merges):
        union = merge.one | merge.other
        pair = sorted((number[merge.one], number[merge.other]))
        linkage[i] = *pair, heights[i], len(union)
        number[union] = n_components + i
    return linkage
