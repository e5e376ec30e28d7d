"""What users tell of rows, as labels or priors, and the data that it makes of the rows."""

from gaussmix.data.base import Data, InMemory
from gaussmix.data.dask import DaskData
from gaussmix.data.streamed import Streamed
from gaussmix.data.told import Classes, ToldBeside, ToldData, checked_told
from gaussmix.data.told_dask import ToldPartitions
from gaussmix.errors import ParameterError
from gaussmix.io.scans import Scan


def tell(
    rows: Data,
    labels: object,
    row_priors: object,
    classes: Classes | None,
    n_components: int,
    *,
    noise: bool,
) -> ToldData | None:
    """Return rows with labels or priors, checked; None if neither is given.

    Parameters
    ----------
    rows : Data
    labels, row_priors : array-like or None
        As in `GaussianMixture.fit`. Priors may be what `scan` returns.
    classes : Classes or None
        What labels name; component numbers if None.
    n_components : int
    noise : bool
        Whether priors have a last column, for the noise.
    """
    if labels is None and row_priors is None:
        return None
    if labels is not None and row_priors is not None:
        raise ParameterError(
            "labels and row_priors are both given, but priors say it all: give a labelled row the "
            "prior 1 for its component and 0 for the others"
        )
    if isinstance(row_priors, Scan):
        return _beside(rows, row_priors, n_components + noise)
    name, values = ("labels", labels) if row_priors is None else ("row_priors", row_priors)
    if isinstance(rows, DaskData):
        return ToldPartitions(rows, name, values, classes, n_components, noise=noise)
    assert isinstance(rows, InMemory | Streamed), "rows are in memory, in files or on Dask"
    told = checked_told(
        name, values, classes=classes, n_components=n_components, noise=noise, dtype=rows.dtype
    )
    return ToldData(rows, told)


def _beside(rows: Data, priors: Scan, n_terms: int) -> ToldData:
    if isinstance(rows, DaskData):
        raise ParameterError(
            "row_priors must be a dask array where X is a Dask collection, got what is read here"
        )
    assert isinstance(rows, InMemory | Streamed), "rows are in memory, in files or on Dask"
    return ToldBeside(rows, Streamed(priors, None, rows.n_threads), n_terms)
