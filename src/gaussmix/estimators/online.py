"""`partial_fit`: a mixture that follows a stream of batches by online EM."""

from functools import partial
from typing import Self

from gaussmix._core.types import RowsLike, WeightLike
from gaussmix.data.base import Data
from gaussmix.data.scale import require_features_to_scale
from gaussmix.em.online import Seen, check_pace, online_step
from gaussmix.estimators.attributes import parameters_to_continue, set_parameters
from gaussmix.estimators.base import remember_features
from gaussmix.estimators.base_mixture import BaseMixture
from gaussmix.estimators.diagnostics import warn_collapsed, warn_rounded
from gaussmix.estimators.fitting import start
from gaussmix.estimators.queries import M
from gaussmix.estimators.settings import Settings, require_online, settings_of
from gaussmix.model.eigenvalues import adopted
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import require_means_within_reach
from gaussmix.model.statistics import StatisticsPass
from gaussmix.validation import check_integer, check_random_state, check_real


class OnlineMixture(BaseMixture[M]):
    """A mixture that is fitted to batches, too."""

    learning_decay: float
    half_life: float | None
    truncation_gap_: float

    def partial_fit(self, X: RowsLike, y: object = None, sample_weight: WeightLike = None) -> Self:
        """Move the parameters by one step of online EM towards a batch of rows.

        The averages over rows that the parameters maximise become
        (1 - g) s + g s(X) (Cappé & Moulines, 2009), where s(X) are the E-step's for the batch
        under the present parameters. The step size g follows from
        `learning_decay`, `half_life` and the summed weights of the batch and of all rows before,
        `weight_seen_`: see `gaussmix.em.online.step_size`.
        It does not matter how a stream is cut into batches, but that an E-step sees the
        parameters before its batch.

        The first batch of a new model is its start as well, by `init_params`, and needs as many
        rows as there are components, better a few hundred for each. If it is the whole data set
        the result is that of one iteration of `fit`. A fitted or loaded model goes on from its
        parameters, which count as the rows they were fitted to; parameters that were set by hand,
        or given to `from_parameters`, count for no rows unless `weight_seen_` is set too, and
        serve the E-step of the first batch alone.

        Afterwards `lower_bound_` is the mean log-likelihood of a row of the batch before the step,
        `n_iter_` has grown by one, and `converged_` is False.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The batch, of any number of rows.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, X or the weights are not acceptable, or there are fewer rows than
            components in the first batch.

        Warns
        -----
        CollapseWarning
            If a component shrank onto too few distinct rows and had to be regularised: once for
            each component.
        PrecisionWarning
            As `fit`: once for each component.

        References
        ----------
        Cappé & Moulines (2009), On-line expectation-maximization algorithm for latent data
        models, Journal of the Royal Statistical Society B 71, 593-613.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> mixture = GaussianMixture(n_components=2, random_state=0)
        >>> for _ in range(50):
        ...     batch = rng.normal(size=(200, 1)) + rng.choice([0, 9], size=(200, 1))
        ...     mixture = mixture.partial_fit(batch)
        >>> mixture.n_samples_seen_
        10000
        >>> np.sort(mixture.means_, axis=0).round()
        array([[0.],
               [9.]])
        """
        settings = settings_of(self)
        require_online(settings)
        if hasattr(self, "means_"):
            data = self._data(X, sample_weight, self.n_threads)
            present = parameters_to_continue(self, data.n_features, "partial_fit")
            present = adopted(present.without_noise(), settings.structure)
            self._step(data, present, settings)
        else:
            data, names = self._training_data(X, sample_weight)
            first = start(data, settings, check_random_state(self.random_state))
            self._step(data, first, settings)
            remember_features(self, data.n_features, names)
        return self

    def _step(self, data: Data, parameters: Parameters, settings: Settings) -> None:
        """Take a step of online EM from the parameters."""
        seen = Seen(
            check_integer("n_samples_seen_", getattr(self, "n_samples_seen_", 0), 0),
            check_real("weight_seen_", getattr(self, "weight_seen_", 0.0), 0),
        )
        require_features_to_scale(data, settings.reg_covar)
        batch = data.total(partial(StatisticsPass, parameters, gaps=data.gaps))
        pace = check_pace(self.learning_decay, self.half_life)
        parameters, collapsed = online_step(parameters, batch, seen, pace, settings.reg_covar)
        require_means_within_reach(parameters, data.dtype)
        set_parameters(self, parameters)
        self.n_samples_seen_ = seen.n_samples + data.n_samples
        self.weight_seen_ = seen.weight + data.weight
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        self.converged_ = False
        self.lower_bound_ = batch.mean_log_likelihood
        self.lower_bounds_ = [self.lower_bound_]
        self.truncation_gap_ = 0.0
        warned: frozenset[int] = getattr(self, "_warned", frozenset())
        warn_collapsed(self, tuple(k for k in collapsed if k not in warned))
        warn_rounded(self, parameters, data.dtype)
