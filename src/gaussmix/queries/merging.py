r"""Which components to merge: two at a time, until one cluster is left.

A cluster is a set of components, and its share of a row, t_S = sum_{k in S} r_k, the sum of their
responsibilities. The entropy of a clustering is - sum_n w_n sum_S t_S log t_S. Merging S and T
lowers it by their gain (Baudry, Raftery, Celeux, Lo & Gottardo, 2010)

    G(S, T) = sum_n w_n (t_S log((t_S + t_T) / t_S) + t_T log((t_S + t_T) / t_T)),

and the pair of largest gain is merged. Written so, every term is positive and the gains of
clusters that hardly touch are right to a few digits too, however small. G is concave in either
share and 0 where it is, hence subadditive: G(S + S', T) <= G(S, T) + G(S', T). So the gains known
before a merge bound those after it, and few of the new ones have to be computed at all.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import threads
from gaussmix._core.density import Density
from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import Data, InMemory
from gaussmix.data.parallel import in_order
from gaussmix.io.blocks import Block, joined
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import responsibilities_within_reach
from gaussmix.queries.divergences import bhattacharyya
from gaussmix.queries.moment_matching import single_components

BLOCK_VALUES = 1 << 16
"""Shares of rows that a thread holds at a time, half a megabyte. With half as many NumPy's calls
cost a third of the time, with four times as many the cache is missed."""

REHEARSAL_ROWS = 1 << 14
"""Rows on which the merges are rehearsed, to know which gains the pass over all has to carry."""

LOG_FLOPS = 20  # about what a logarithm costs
LOWEST = float(np.finfo(np.float64).tiny)

Cluster: TypeAlias = frozenset[int]
Pair: TypeAlias = frozenset[Cluster]
Measure: TypeAlias = Callable[[set[Pair]], dict[Pair, float]]
Foresee: TypeAlias = Callable[[Sequence[Cluster]], set[Pair]]
Members: TypeAlias = list[int] | NDArray[np.intp]


class Merge(NamedTuple):
    """Two clusters that become one, and what the criterion says of them."""

    one: Cluster
    other: Cluster
    value: float  # gain of entropy, or distance

    @property
    def pair(self) -> Pair:
        """The two, in no order."""
        return frozenset((self.one, self.other))


def merge_by_entropy(parameters: Parameters, data: Data) -> list[Merge]:
    """Merge the two clusters whose union lowers the entropy most (Baudry et al., 2010).

    The merges are rehearsed on a sample first. Then one pass over the rows carries every gain that
    the rehearsal asked for; where the true gains lead elsewhere, another pass carries what a
    rehearsal from there asks for. The result is that of computing every gain of every level.
    """
    thinned = data.total(partial(ThinningPass, -(-data.n_samples // REHEARSAL_ROWS)))
    sample = InMemory(*joined(thinned.blocks), data.n_threads, gaps=data.gaps)
    rehearsed: dict[Pair, float] = {}

    def foresee(clusters: Sequence[Cluster]) -> set[Pair]:
        _agglomerate(
            clusters, lambda pairs: gains(pairs, parameters, sample), lambda _: set(), rehearsed
        )
        return set(rehearsed)

    return _agglomerate(
        _singles(parameters), lambda pairs: gains(pairs, parameters, data), foresee, known={}
    )


def merge_by_distance(parameters: Parameters) -> list[Merge]:
    """Merge the two clusters of smallest Bhattacharyya distance (Hennig, 2010).

    A cluster counts as the Gaussian that has its mean and covariance.
    """
    clusters, merges = _singles(parameters), []
    gaussians = single_components(parameters)
    distances = bhattacharyya(parameters)
    while len(clusters) > 1:
        np.fill_diagonal(distances, np.inf)
        i, j = _first_place(distances == distances.min())
        merges.append(Merge(clusters[i], clusters[j], float(distances[i, j])))
        gaussians.unite(i, j)
        _unite(clusters, i, j)
        distances = np.delete(np.delete(distances, j, axis=0), j, axis=1)
        distances[i] = distances[:, i] = gaussians.distances_from(i)
    return merges


class ThinningPass:
    """Keeps every so many of the rows: a `gaussmix.data.base.Pass` whose result is itself."""

    def __init__(self, step: int, _n_threads: int | None) -> None:
        self.blocks: list[Block] = []
        self._step = step
        self._n_seen = 0

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Take in the next rows."""
        kept = slice(-self._n_seen % self._step, None, self._step)
        thinned = None if weight is None else weight[kept].copy()
        self.blocks.append(Block(rows[kept].copy(), thinned))
        self._n_seen += len(rows)

    def result(self) -> "ThinningPass":
        """Return what was kept."""
        return self

    def __add__(self, other: "ThinningPass") -> "ThinningPass":
        both = ThinningPass(self._step, None)
        both.blocks = self.blocks + other.blocks
        return both


def gains(pairs: set[Pair], parameters: Parameters, data: Data) -> dict[Pair, float]:
    """One pass over the rows: what merging each of the pairs would take from the entropy."""
    if not pairs:
        return {}
    asked = _Asked.of(pairs)
    totals = data.total(partial(GainsPass, asked, parameters, gaps=data.gaps))
    return dict(zip(asked.pairs, totals.tolist(), strict=True))


class _Asked(NamedTuple):
    """Pairs of clusters whose gains are wanted, by the places of the clusters in a list."""

    pairs: list[Pair]
    members: list[list[int]]  # components of each cluster
    partners: dict[int, NDArray[np.intp]]  # of a cluster, the second ones of its pairs

    @classmethod
    def of(cls, pairs: set[Pair]) -> "_Asked":
        clusters = sorted({cluster for pair in pairs for cluster in pair}, key=sorted)
        place = {cluster: i for i, cluster in enumerate(clusters)}
        places = sorted(sorted(place[cluster] for cluster in pair) for pair in pairs)
        return cls(
            [frozenset((clusters[i], clusters[j])) for i, j in places],
            [sorted(cluster) for cluster in clusters],
            {i: np.array([j for first, j in places if first == i]) for i, _ in places},
        )


class GainsPass:
    """Adds up the gains of pairs of clusters over rows: a `gaussmix.data.base.Pass`.

    The sums are those of blocks of `block_rows`, in order, however the rows come. So they have the
    same bits for any number of threads, and from a file as from an array. Rows that do not fill a
    block wait for the next.
    """

    def __init__(
        self,
        asked: _Asked,
        parameters: Parameters,
        n_threads: int | None,
        *,
        gaps: bool = False,
    ) -> None:
        self._asked = asked
        self._parameters = parameters
        self._n_threads = n_threads
        self._density = parameters.density(gaps=gaps)
        self._size = block_rows(parameters.n_components)
        self._waiting: list[Block] = []
        self._totals = np.zeros(len(asked.pairs))

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Take in the next rows."""
        self._waiting.append(Block(rows, weight))
        n_rows = sum(len(block.rows) for block in self._waiting)
        if n_rows >= self._size:
            self._take(n_rows // self._size * self._size)
        elif self._waiting:  # whoever gave the rows may fill their memory anew
            self._waiting = [joined(self._waiting)]

    def result(self) -> FloatArray:
        """Return the gains, in the order of the pairs."""
        self._take(sum(len(block.rows) for block in self._waiting))
        return self._totals

    def _take(self, n_rows: int) -> None:
        """Add the gains of the first rows that wait; the others go on waiting."""
        if not n_rows:
            return
        (X, weight) = self._waiting[0] if len(self._waiting) == 1 else joined(self._waiting)
        left = Block(X[n_rows:].copy(), None if weight is None else weight[n_rows:].copy())
        self._waiting = [left] if len(left.rows) else []
        asked, n_components = self._asked, self._parameters.n_components

        def block(rows: slice) -> FloatArray:
            part = np.ascontiguousarray(X[rows], np.float64)
            shares = cluster_shares(part, self._density, asked.members)
            chosen = None if weight is None else weight[rows]
            return _block_gains(shares.astype(np.float64, copy=False), chosen, asked.partners)

        flops = LOG_FLOPS * n_rows * (len(asked.pairs) + n_components)
        count = threads.for_work(self._n_threads, flops)
        for part in in_order(block, n_rows, self._size, count, ahead=4):
            self._totals = self._totals + part


def cluster_shares(X: Rows, density: Density, members: Sequence[Members]) -> Rows:
    """Sums of the responsibilities of some terms, for rows (B, D): (len(members), B).

    Terms are the components, and then the noise if there is any.
    """
    resp = np.empty((len(X), density.n_terms), dtype=X.dtype)
    responsibilities_within_reach(X, density, resp)
    columns = np.ascontiguousarray(resp.T)
    return np.stack([columns[chosen].sum(axis=0) for chosen in members])


def block_rows(n_components: int) -> int:
    """Rows of a block, whatever the number of threads."""
    return max(1, BLOCK_VALUES // n_components)


def _block_gains(
    shares: FloatArray, weight: FloatArray | None, partners: dict[int, NDArray[np.intp]]
) -> FloatArray:
    """Gains of clusters and their partners over a block of rows, one after the other.

    einsum, not BLAS, whose sums may depend on how many threads it has.
    """
    shares = np.maximum(shares, LOWEST)  # 0 log 0 is 0
    logs = np.log(shares)
    weighted = shares if weight is None else shares * weight
    parts = []
    for i, others in partners.items():
        union = shares[others]  # in place from here: new memory costs as much as the sums
        union += shares[i]
        np.log(union, out=union)
        part = np.einsum("jn,n->j", union - logs[i], weighted[i])
        union -= logs[others]
        part += np.einsum("jn,jn->j", union, weighted[others])
        parts.append(part)
    return np.concatenate(parts)


def _agglomerate(
    start: Sequence[Cluster], measure: Measure, foresee: Foresee, known: dict[Pair, float]
) -> list[Merge]:
    """Merge the pair of largest gain until one cluster is left; known gains grow by what it needs.

    The table (m, m) holds exact gains and upper bounds. Bounds that exceed the largest exact gain
    are replaced by known gains, so that the pair that is merged has the largest of all. If one is
    not known, a measurement takes along what is foreseen to be needed later.
    """
    clusters, merges = list(start), []
    bounds = np.full((len(clusters), len(clusters)), np.inf)
    np.fill_diagonal(bounds, -np.inf)
    exact = np.zeros(bounds.shape, dtype=bool)
    while len(clusters) > 1:
        best = bounds[exact].max(initial=-np.inf)
        contested = np.argwhere(np.triu(~exact & (bounds > best)))
        pairs = [frozenset((clusters[i], clusters[j])) for i, j in contested]
        if not known.keys() >= set(pairs):
            known.update(measure({*pairs, *foresee(clusters)} - known.keys()))
        for (i, j), pair in zip(contested, pairs, strict=True):
            bounds[i, j] = bounds[j, i] = known[pair]
            exact[i, j] = exact[j, i] = True
        best = bounds[exact].max()
        i, j = _first_place(exact & (bounds == best))
        merges.append(Merge(clusters[i], clusters[j], float(best)))
        _unite(clusters, i, j)
        bounds[i] = bounds[:, i] = bounds[i] + bounds[j]
        exact[i] = exact[:, i] = False
        bounds, exact = (
            np.delete(np.delete(table, j, axis=0), j, axis=1) for table in (bounds, exact)
        )
    return merges


def _singles(parameters: Parameters) -> list[Cluster]:
    return [frozenset((k,)) for k in range(parameters.n_components)]


def _unite(clusters: list[Cluster], i: int, j: int) -> None:
    """Put the union in the place of the first, so that clusters stay in order of their least."""
    clusters[i] |= clusters.pop(j)


def _first_place(flags: NDArray[np.bool_]) -> tuple[int, int]:
    i, j = np.argwhere(flags)[0]
    return int(i), int(j)
