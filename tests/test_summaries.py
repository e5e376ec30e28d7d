"""What a fitted model says of itself: `summary`, `repr`, and what notebooks show."""

import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture, KMeans
from gaussmix._core.types import FloatArray
from gaussmix.display.tables import Summary, as_html, as_text, with_spread


@pytest.fixture(scope="module")
def faithful() -> FloatArray:
    path = Path(__file__).parent / "data" / "old_faithful.csv"
    return np.loadtxt(path, delimiter=",", skiprows=1)


@pytest.fixture(scope="module")
def model(faithful: FloatArray) -> GaussianMixture:
    return GaussianMixture(2, random_state=0).fit(faithful)


class Cells(HTMLParser):
    """The cells of an HTML table, and whether every tag that opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_a_mixture(model: GaussianMixture, faithful: FloatArray) -> None:
    summary = model.summary()
    assert isinstance(summary, Summary)
    title, seen, outcome, _, head, *rows = str(summary).splitlines()
    assert title == "GaussianMixture: 2 components, full covariances"
    assert seen == "272 rows, 2 features"
    assert outcome == (
        f"converged after {model.n_iter_} iterations, mean log-likelihood "
        f"{model.score(faithful):.6g}"
    )
    assert head.split() == ["component", "weight", "rows", "feature", "0", "feature", "1"]
    for k, row in enumerate(rows):
        number, weight, size, *_ = row.split()
        assert (int(number), float(weight)) == (k, round(model.weights_[k], 4))
        assert float(size) == pytest.approx(272 * model.weights_[k], abs=0.06)
        std = np.sqrt(model.covariances_[k].diagonal())
        assert summary.rows[k][-1] == f"{model.means_[k, 1]:.1f} ± {std[1]:.1f}"
    assert summary.remarks == ()


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "VEV", "EII"])
def test_spreads_of_every_structure(structure: Any, faithful: FloatArray) -> None:
    model = GaussianMixture(2, covariance_type=structure, random_state=0).fit(faithful)
    for k, row in enumerate(model.summary().rows):
        for j in range(2):
            marginal = model.marginal(j)
            variance = np.ravel(marginal.covariances_)[k % np.size(marginal.covariances_)]
            assert row[3 + j] == with_spread(model.means_[k, j], float(np.sqrt(variance)))


def test_collapsed_components_are_named() -> None:
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(300, 2)), np.full((30, 2), 9.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gaussmix.CollapseWarning)
        model = GaussianMixture(2, random_state=0).fit(X)
    tight = int(model.weights_.argmin())
    assert model.summary().remarks == (f"collapsed: {tight}",)
    given = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0], [1]], [1, 2], "spherical", reg_covar=0.6
    )
    assert given.summary().remarks == ("collapsed: 0",)


def test_many_features_and_given_parameters() -> None:
    model = GaussianMixture.from_parameters([1.0], [np.arange(9.0)], [np.ones(9)], "diag")
    summary = model.summary()
    assert summary.facts == ("9 features", "parameters as given, not fitted here")
    assert summary.heads[-1] == "feature 5"
    assert summary.remarks == ("3 more features",)


def test_kmeans(faithful: FloatArray) -> None:
    kmeans = KMeans(3, random_state=0).fit(faithful)
    summary = kmeans.summary()
    assert [int(row[1]) for row in summary.rows] == np.bincount(kmeans.labels_).tolist()
    assert [float(row[3]) for row in summary.rows] == pytest.approx(
        kmeans.cluster_centers_[:, 1], rel=1e-5
    )
    assert summary.facts[1] == f"{kmeans.n_iter_} iterations, inertia {kmeans.inertia_:.6g}"
    del kmeans.labels_
    assert kmeans.summary().heads == ("cluster", "feature 0", "feature 1")


def test_repr_says_whether_it_is_fitted(model: GaussianMixture, faithful: FloatArray) -> None:
    assert repr(GaussianMixture(2)) == "GaussianMixture(n_components=2)"
    call = "GaussianMixture(n_components=2, random_state=0)"
    assert repr(model) == f"<{call}, fitted: 272 rows, 2 features>"
    assert repr(KMeans(1).fit(faithful)) == "<KMeans(n_clusters=1), fitted: 272 rows, 2 features>"
    given = GaussianMixture.from_parameters([1.0], [[0.0]], [[1.0]], "diag")
    assert repr(given) == "<GaussianMixture(covariance_type='diag'), fitted: 1 feature>"


def test_notebooks_show_tables(model: GaussianMixture, faithful: FloatArray) -> None:
    summary = model.summary()
    assert Cells(model._repr_html_()).rows == [list(summary.heads), *map(list, summary.rows)]
    assert Cells(GaussianMixture(2)._repr_html_()).rows == []
    many = GaussianMixture.from_parameters(
        np.full(50, 0.02), np.zeros((50, 1)), np.ones(50), "spherical"
    )
    assert len(Cells(many._repr_html_()).rows) == 21
    assert "30 more rows" in many._repr_html_()
    assert len(Cells(many.summary()._repr_html_()).rows) == 51

    chosen = gaussmix.select(faithful, [1, 2], ["full", "diag"], random_state=0)
    rows = Cells(chosen._repr_html_()).rows
    assert rows[0] == ["components", "full", "diag"]
    assert rows[2][1] == f"{chosen.best.bic:.3f}*"

    hierarchy = model.hierarchy(faithful)
    assert hierarchy.entropies is not None
    assert Cells(hierarchy._repr_html_()).rows[1:] == [
        ["1", "0", "2"],
        ["2*", f"{hierarchy.entropies[1]:.6g}", "1, 1"],
    ]


def test_tables() -> None:
    assert as_text(("a", "long"), [("1", "2"), ("333", "4")]) == "  a  long\n  1     2\n333     4"
    assert "<td>a &lt; b</td>" in as_html("x", [], ("y",), [("a < b",)])


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (80.04, 5.871, "80.0 ± 5.9"),
        (2.03, 0.264, "2.03 ± 0.26"),
        (-0.5, 123.4, "0 ± 123"),
        (0.001, 0.0005, "0.001 ± 0.0005"),
        (1e9, 3.0, "1e+09 ± 3"),
        (0.0, 0.0, "0 ± 0"),
    ],
)
def test_digits_follow_the_spread(mean: float, std: float, text: str) -> None:
    assert with_spread(mean, std) == text


def test_noise_has_a_row_of_its_own(faithful: FloatArray) -> None:
    model = GaussianMixture(2, noise=True, random_state=0).fit(faithful)
    *_, noise = model.summary().rows
    weight = model.noise_weight_
    assert noise == ("noise", f"{weight:.4f}", f"{len(faithful) * weight:,.1f}", "", "")
