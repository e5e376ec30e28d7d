"""What came of fitting many mixtures to the same data: a table, its best row, and a picture."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

from gaussmix._core.types import (
    CovarianceType,
    DaskLike,
    Labels,
    PathLike,
    RowsLike,
    SelectionCriterion,
)
from gaussmix.display.tables import as_html
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.validation import check_choice

CRITERIA = ("bic", "aic", "icl", "cv")
SHOWN_BEST = 3  # candidates whose details are printed
WAYS_OUT = (
    "Leave out features that are constant or combinations of others, ask for fewer components or "
    "simpler covariance_types, or pass a reg_covar such as 1e-6"
)
HEADS = {
    "log_likelihood": "log-likelihood",
    "n_parameters": "parameters",
    "bic": "BIC",
    "aic": "AIC",
    "icl": "ICL",
    "cv": "held out",
    "seconds": "seconds",
}


class Candidate(NamedTuple):
    """One mixture that was tried. If it failed, its numbers are NaN and `problem` says why."""

    n_components: int
    """Number of components."""
    covariance_type: CovarianceType
    """Covariance type, as it was given to `select`."""
    n_parameters: int
    """Number of free parameters."""
    log_likelihood: float = math.nan
    """Log-likelihood of all rows."""
    bic: float = math.nan
    """Bayesian information criterion, lower being better."""
    aic: float = math.nan
    """Akaike's information criterion, lower being better."""
    icl: float = math.nan
    """Integrated completed likelihood, lower being better."""
    cv: float = math.nan
    """Mean log-likelihood of held-out rows, higher being better; NaN if it was not asked for."""
    converged: bool = False
    """Whether the fit converged."""
    n_iter: int = 0
    """Number of iterations of the fit."""
    seconds: float = 0.0
    """Time it took; 0 if it is the same model as one before."""
    problem: str = ""
    """Why the fit failed; empty if it did not."""

    def loss(self, criterion: str) -> float:
        """Value of a criterion, turned so that lower is better; infinite if it failed.

        Examples
        --------
        >>> from gaussmix import Candidate
        >>> candidate = Candidate(2, "full", 11, bic=812.5, cv=-3.5)
        >>> candidate.loss("bic"), candidate.loss("cv")
        (812.5, 3.5)
        """
        value = float(getattr(self, criterion))
        if math.isnan(value):
            return math.inf
        return -value if criterion == "cv" else value

    @property
    def name(self) -> str:
        """Number of components and covariance type."""
        return f"{self.n_components} {self.covariance_type}"


@dataclass(frozen=True, repr=False)
class Selection:
    """The mixtures that `gaussmix.select` tried, and the best of them.

    Attributes
    ----------
    model : GaussianMixture or None
        The best one, fitted to all rows; None if no mixture could be fitted.
    table : tuple of Candidate
        A named tuple for every mixture, by number of components and then covariance type:
        n_components, covariance_type, n_parameters, log_likelihood (of all rows), bic, aic, icl,
        cv, converged, n_iter, seconds, and problem, empty unless the fit failed.
    criterion : {'bic', 'aic', 'icl', 'cv'}
        What the best was chosen by.
    """

    model: GaussianMixture | None
    table: tuple[Candidate, ...]
    criterion: SelectionCriterion

    @property
    def best(self) -> Candidate:
        """The best model's row of the table; ValueError if no mixture could be fitted."""
        self._check_fitted()
        return self.ranked()[0]

    @property
    def best_model(self) -> GaussianMixture:
        """The best one, fitted to all rows; ValueError if no mixture could be fitted."""
        self._check_fitted()
        assert self.model is not None
        return self.model

    @property
    def best_estimator_(self) -> GaussianMixture:
        """The same as `best_model`, under the name that scikit-learn's searches have for it."""
        return self.best_model

    @property
    def at_edge(self) -> bool:
        """Whether the best has the most components that were tried, or the fewest above 1.

        Mixtures outside the range may be better then.
        """
        return bool(self._edge())

    @overload
    def predict(self, X: DaskLike, *, out: None = None) -> Any: ...
    @overload
    def predict(self, X: RowsLike, *, out: None = None) -> Labels: ...
    @overload
    def predict(self, X: RowsLike, *, out: PathLike) -> Path: ...
    def predict(self, X: RowsLike, *, out: PathLike | None = None) -> Any:
        """Return the most probable component of each row of X under the best model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples,), int32
            Of a Dask collection a lazy dask array; with `out` its path.

        Raises
        ------
        ValueError
            If no mixture could be fitted.

        Examples
        --------
        >>> import gaussmix
        >>> X = [[0.0], [1.0], [2.0], [3.0], [20.0], [21.0], [22.0], [23.0]]
        >>> selection = gaussmix.select(X, [1, 2], ["full", "tied"], random_state=0)
        >>> labels = selection.predict(X)
        >>> (labels == labels[0]).tolist()
        [True, True, True, True, False, False, False, False]
        """
        predict: Any = self.best_model.predict
        return predict(X, out=out)

    def ranked(self, criterion: SelectionCriterion | None = None) -> list[Candidate]:
        """Return the candidates that did not fail, the best first.

        Parameters
        ----------
        criterion : {'bic', 'aic', 'icl', 'cv'}, optional
            By default the one that the best was chosen by.

        Examples
        --------
        >>> import gaussmix
        >>> X = [[0.0], [1.0], [2.0], [3.0], [20.0], [21.0], [22.0], [23.0]]
        >>> selection = gaussmix.select(X, [1, 2], ["full", "tied"], random_state=0)
        >>> [candidate.name for candidate in selection.ranked()]
        ['2 tied', '2 full', '1 full', '1 tied']
        """
        criterion = self._criterion(criterion)
        good = [row for row in self.table if not row.problem]
        return sorted(good, key=lambda row: row.loss(criterion))

    def to_frame(self) -> Any:
        """Return the table as a pandas DataFrame, a row for every candidate.

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> import gaussmix
        >>> X = [[0.0], [1.0], [2.0], [3.0], [20.0], [21.0], [22.0], [23.0]]
        >>> selection = gaussmix.select(X, [1, 2], ["full", "tied"], random_state=0)
        >>> selection.to_frame()[["n_components", "covariance_type", "bic"]].round(1)
           n_components covariance_type   bic
        0             1            full  63.8
        1             1            tied  63.8
        2             2            full  46.0
        3             2            tied  43.9
        """
        import pandas as pd

        frame = pd.DataFrame(self.table, columns=Candidate._fields)
        return frame if self._has_cv() else frame.drop(columns="cv")

    def plot(self, criterion: SelectionCriterion | None = None, *, ax: Any = None) -> Any:
        """Draw a criterion against the number of components, a line for every covariance type.

        Parameters
        ----------
        criterion : {'bic', 'aic', 'icl', 'cv'}, optional
            By default the one that the best was chosen by.
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure of pyplot's.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import gaussmix
        >>> X = [[0.0], [1.0], [2.0], [3.0], [20.0], [21.0], [22.0], [23.0]]
        >>> selection = gaussmix.select(X, [1, 2], ["full", "tied"], random_state=0)
        >>> axes = selection.plot("aic")
        >>> axes.get_ylabel()
        'AIC, lower is better'
        """
        from gaussmix.plotting.curves import draw_curves

        return draw_curves(self.curves(criterion), ax)

    def curves(self, criterion: SelectionCriterion | None = None) -> Any:
        """Return what `gaussmix.plotting.curves` draws.

        Examples
        --------
        >>> import gaussmix
        >>> X = [[0.0], [1.0], [2.0], [3.0], [20.0], [21.0], [22.0], [23.0]]
        >>> selection = gaussmix.select(X, [1, 2], ["full", "tied"], random_state=0)
        >>> selection.curves().best
        (2, 'tied')
        """
        from gaussmix.plotting.curves import Curves

        criterion = self._criterion(criterion)
        counts = sorted({row.n_components for row in self.table})
        values = {row[:2]: getattr(row, criterion) for row in self.table}
        lines: dict[str, list[Any]] = {
            structure: [values[count, structure] for count in counts]
            for structure in self._structures()
        }
        self._check_fitted()
        best = self.ranked(criterion)[0]
        return Curves(counts, lines, best[:2], _title(criterion))

    def __str__(self) -> str:
        leaders = [] if self.model is None else [self._leaders()]
        return "\n\n".join([self._matrix(), *leaders, *self._remarks()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show the criterion of every candidate, in notebooks."""
        head, *rows = self._cells()
        return as_html("Selection", [_title(self.criterion)], head, rows, self._remarks())

    def _check_fitted(self) -> None:
        """Raise ValueError if no mixture could be fitted."""
        if self.model is None:
            first = self.table[0]
            raise ValueError(
                f"none of the {len(self.table)} mixtures could be fitted; "
                f"n_components={first.n_components}, covariance_type={first.covariance_type!r}: "
                f"{first.problem}. {WAYS_OUT}"
            )

    def _criterion(self, criterion: SelectionCriterion | None) -> SelectionCriterion:
        if criterion is None:
            return self.criterion
        check_choice("criterion", criterion, CRITERIA if self._has_cv() else CRITERIA[:-1])
        return criterion

    def _has_cv(self) -> bool:
        return self.criterion == "cv"

    def _structures(self) -> list[CovarianceType]:
        return list(dict.fromkeys(row.covariance_type for row in self.table))

    def _matrix(self) -> str:
        """The criterion of every candidate, numbers of components down, structures across."""
        head, *rows = self._cells()
        lines = [_title(self.criterion), head[0] + "".join(f"{s:>14}  " for s in head[1:])]
        for count, *cells in rows:
            texts = (f"{cell.rstrip('*?'):>14}{cell[len(cell.rstrip('*?')) :]:2}" for cell in cells)
            lines.append(f"{count:>10}" + "".join(texts))
        return "\n".join(line.rstrip() for line in lines)

    def _cells(self) -> list[list[str]]:
        """The heads of the matrix, and its rows: a number of components, and each structure's cell.

        A cell ends in * if it is the best, and in ? if the fit did not converge.
        """
        structures = self._structures()
        best = None if self.model is None else self.best
        cells = {row[:2]: self._cell(row, row is best) for row in self.table}
        counts = dict.fromkeys(row.n_components for row in self.table)
        rows = [[str(k), *(cells[k, s] for s in structures)] for k in counts]
        return [["components", *structures], *rows]

    def _cell(self, row: Candidate, best: bool) -> str:
        text = "failed" if row.problem else _number(row, self.criterion)
        doubt = "" if row.problem or row.converged else "?"
        return text + "*" * best + doubt

    def _leaders(self) -> str:
        heads = {name: head for name, head in HEADS.items() if name != "cv" or self._has_cv()}
        lines = [f"{'best':<14}" + "".join(f"{head:>{_width(head)}}" for head in heads.values())]
        for row in self.ranked()[:SHOWN_BEST]:
            cells = (f"{_number(row, name):>{_width(head)}}" for name, head in heads.items())
            lines.append(f"{row.name:<14}" + "".join(cells))
        return "\n".join(lines)

    def _remarks(self) -> list[str]:
        remarks = []
        if any(not row.converged and not row.problem for row in self.table):
            remarks.append("? did not converge: increase max_iter or tol")
        remarks += [
            f"failed, {problem}: {', '.join(self._with_problem(problem))}"
            for problem in dict.fromkeys(row.problem for row in self.table if row.problem)
        ]
        if self.model is None:
            remarks.append(f"nothing could be fitted. {WAYS_OUT}")
        elif self.at_edge:
            remarks.append(self._edge())
        return remarks

    def _with_problem(self, problem: str) -> Iterator[str]:
        """Name the candidates that have a problem: a structure as a whole where all of it has."""
        for structure in self._structures():
            rows = [row for row in self.table if row.covariance_type == structure]
            failed = [row for row in rows if row.problem == problem]
            if len(failed) == len(rows) > 1:
                yield f"all {structure}"
            else:
                yield from (row.name for row in failed)

    def _edge(self) -> str:
        """Say that the best is at an end of the range of components, if it is."""
        counts = {row.n_components for row in self.table}
        if self.model is None or len(counts) == 1:
            return ""
        best = self.best.n_components
        if best == max(counts):
            return f"the best has the most components that were tried: try more than {best}"
        if best == min(counts) > 1:
            return f"the best has the fewest components that were tried: try fewer than {best}"
        return ""


def _width(head: str) -> int:
    return max(14, len(head) + 2)


def _number(row: Candidate, name: str) -> str:
    value = getattr(row, name)
    if isinstance(value, int):
        return str(value)
    return f"{value:.{5 if name == 'cv' else 3}f}"


def _title(criterion: str) -> str:
    if criterion == "cv":
        return "mean log-likelihood of held-out rows, higher is better"
    return f"{criterion.upper()}, lower is better"
