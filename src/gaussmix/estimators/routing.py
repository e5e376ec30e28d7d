"""scikit-learn's metadata routing: which methods ask for `sample_weight`.

These methods have no use without scikit-learn, and import it when they are called.
"""

from typing import Any, ClassVar, Self, TypeAlias

Request: TypeAlias = bool | str | None
"""True passes `sample_weight`, False never does, and a name passes what has that name. None, the
default, makes it an error to give weights."""

UNCHANGED = "$UNCHANGED$"
"""As `sklearn.utils.metadata_routing.UNCHANGED`."""


class MetadataRequester:
    """The methods by which scikit-learn asks an estimator for its requests, and a user sets them.

    The requests are kept under the name that `sklearn.base.clone` copies.
    """

    _weighted: ClassVar[tuple[str, ...]] = ("fit", "score")
    """The methods that take `sample_weight`."""

    def get_metadata_routing(self) -> Any:
        """Return which metadata the methods ask for.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRequest

        Examples
        --------
        >>> from gaussmix import KMeans
        >>> KMeans().get_metadata_routing().fit.requests
        {'sample_weight': None}
        """
        from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

        present = getattr(self, "_metadata_request", None)
        if present is not None:
            return get_routing_for_object(present)
        requests = MetadataRequest(owner=type(self).__name__)
        for method in self._weighted:
            getattr(requests, method).add_request(param="sample_weight", alias=None)
        return requests

    def set_fit_request(self, *, sample_weight: Request = UNCHANGED) -> Self:
        """Say whether a meta-estimator of scikit-learn is to pass `sample_weight` to `fit`.

        Parameters
        ----------
        sample_weight : bool, str or None
            True passes it, False never does, a name passes what has that name. None, as without
            this call, makes it an error to give any.

        Returns
        -------
        self

        Raises
        ------
        RuntimeError
            Unless ``sklearn.set_config(enable_metadata_routing=True)`` was called.

        Examples
        --------
        >>> import sklearn
        >>> from gaussmix import KMeans
        >>> with sklearn.config_context(enable_metadata_routing=True):
        ...     kmeans = KMeans().set_fit_request(sample_weight=True)
        >>> kmeans.get_metadata_routing().fit.requests
        {'sample_weight': True}
        """
        return self._set_request("fit", sample_weight)

    def set_score_request(self, *, sample_weight: Request = UNCHANGED) -> Self:
        """Say whether a meta-estimator of scikit-learn is to pass `sample_weight` to `score`.

        The parameter is that of `set_fit_request`.

        Examples
        --------
        >>> import sklearn
        >>> from gaussmix import KMeans
        >>> with sklearn.config_context(enable_metadata_routing=True):
        ...     kmeans = KMeans().set_score_request(sample_weight="counts")
        >>> kmeans.get_metadata_routing().score.requests
        {'sample_weight': 'counts'}
        """
        return self._set_request("score", sample_weight)

    def _set_request(self, method: str, sample_weight: Request) -> Self:
        from sklearn import get_config

        if not get_config().get("enable_metadata_routing", False):
            raise RuntimeError(
                f"set_{method}_request is only available with metadata routing: call "
                "sklearn.set_config(enable_metadata_routing=True) first"
            )
        requests = self.get_metadata_routing()
        if sample_weight != UNCHANGED:
            getattr(requests, method).add_request(param="sample_weight", alias=sample_weight)
        self._metadata_request = requests
        return self
