"""Fits on a Dask cluster: `fit` with a client, `connect` to a scheduler, and the rows as `data`.

An estimator's own `fit` takes Dask collections too, and uses the current client.
"""

from contextlib import nullcontext
from typing import Any, TypeVar

from gaussmix.data.dask import DaskData
from gaussmix.data.partitions import NOT_INSTALLED, dask_module
from gaussmix.errors import warn

__all__ = ["DaskData", "connect", "data", "fit"]

ANSWER_SECONDS = 10.0  # that a scheduler has to answer

Model = TypeVar("Model", bound=Any)


def data(
    X: Any, sample_weight: Any = None, n_threads: int | None = None, client: Any = None
) -> DaskData:
    """Return the rows of a Dask collection, checked, for a fit: see `DaskData`."""
    found = DaskData(X, sample_weight, n_threads, client)
    assert found.n_samples > 0, "the first look has checked this"
    return found


def fit(model: Model, X: Any, sample_weight: Any = None, client: Any = None) -> Model:
    """Fit a model to the rows of a Dask collection, where they lie.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or KMeans
    X : dask array or dataframe of shape (n_samples, n_features), or list of Delayed or Future
        Persisted, if the workers' memory holds it: every iteration reads all rows.
    sample_weight : dask array or series of shape (n_samples,), optional
        Weights of the rows, with the partitions of X.
    client : distributed.Client, optional
        Of the cluster to fit on. By default the current client, or else Dask's scheduler on
        threads of this process.

    Returns
    -------
    The model, fitted.

    Raises
    ------
    ImportError
        If Dask is not installed.
    TypeError, ValueError
        As the model's own `fit` does.

    Examples
    --------
    >>> import dask.array as da
    >>> import gaussmix
    >>> from gaussmix import distributed
    >>> X = da.random.default_rng(0).normal(size=(100_000, 2), chunks=(25_000, 2)).persist()
    >>> mixture = distributed.fit(gaussmix.GaussianMixture(2, random_state=0), X)
    >>> mixture.means_.shape
    (2, 2)
    """
    dask_module()
    with nullcontext() if client is None else client.as_current():
        model.fit(X, sample_weight=sample_weight)
    return model


def connect(address: str, timeout: float = ANSWER_SECONDS) -> Any:
    """Return a client of the Dask scheduler at an address, to be handed to `fit`.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.1:8786``.
    timeout : float
        Seconds that it has to answer.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ConnectionError
        If there is no scheduler at the address, or it does not answer in time.

    Warns
    -----
    UserWarning
        If the scheduler has no workers yet: a fit will wait for the first.

    Examples
    --------
    >>> from dask.distributed import LocalCluster
    >>> from gaussmix import distributed
    >>> with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
    ...     with distributed.connect(cluster.scheduler_address) as client:
    ...         print(client.status)
    running
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
        from distributed.comm.registry import get_backend
    except ImportError as error:
        raise ImportError(NOT_INSTALLED) from error
    try:
        if not address:  # Dask would start workers of its own
            raise ValueError("no address")
        scheme, location = parse_address(address)
        get_backend(scheme)  # raises, as the next, where a client would hang
        if scheme != "inproc":
            parse_host_port(location)
        # One that fails would stay the current client, and all later work wait for it.
        client = Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {address!r} within {timeout:g} s ({error}). Start one "
            "with 'dask scheduler', and give the address that it prints, such as "
            "tcp://10.0.0.1:8786"
        ) from error
    if not client.scheduler_info()["workers"]:
        warn(
            f"the Dask scheduler at {address} has no workers; a fit waits for the first. Start "
            f"some with 'dask worker {address}'",
            UserWarning,
        )
    return client
