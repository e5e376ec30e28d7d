"""Pictures of models: what is drawn, by its numbers, and a few pictures as a whole."""

import os
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import Voronoi
from scipy.stats import chi2, norm

pytest.importorskip("matplotlib")

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Polygon, StepPatch

import gaussmix
from gaussmix import GaussianMixture, KMeans, NotFittedError
from gaussmix._core.types import FloatArray
from gaussmix.estimators.attributes import parameters_of
from gaussmix.model.parameters import Parameters
from gaussmix.plotting.colors import COLORS, component_colors, linear, mixed, rgb, srgb
from gaussmix.plotting.curves import Curves, draw_curves
from gaussmix.plotting.shapes import cells, chi_squared_radius, ellipses
from gaussmix.plotting.views import features_view, in_lines, separating_view

DATA = Path(__file__).parent / "data"
STRUCTURES = ("full", "tied", "diag", "spherical", "VEV", "EEI", "EII")
KINDS = ("classification", "uncertainty", "density", "components")


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    plt.switch_backend("agg")
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    plt.close("all")


def axes_of_own() -> Any:
    return Figure(figsize=(5, 4)).add_subplot()


@pytest.fixture(scope="module")
def faithful() -> FloatArray:
    return np.loadtxt(DATA / "old_faithful.csv", delimiter=",", skiprows=1)


@pytest.fixture(scope="module")
def iris() -> FloatArray:
    return np.loadtxt(DATA / "iris.csv", delimiter=",", skiprows=1, usecols=range(4))


@pytest.fixture(scope="module")
def model(faithful: FloatArray) -> GaussianMixture:
    return GaussianMixture(2, random_state=0).fit(faithful)


def outlines(axes: Any) -> list[Any]:
    return [patch for patch in axes.patches if isinstance(patch, Ellipse)]


def legend_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


# Colours -----------------------------------------------------------------------------------------

# Machado, Oliveira & Fernandes (2009), severity 1, of linear RGB
SEEN = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(light: FloatArray) -> FloatArray:
    """CIELAB (CIE 15) of linear RGB, under D65."""
    ratio = light.clip(0, 1) @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize(
    ("sight", "least"), [("normal", 25), ("protanopia", 20), ("deuteranopia", 17)]
)
def test_colours_are_told_apart(sight: str, least: float) -> None:
    seen = lab(linear(rgb(COLORS)) @ np.asarray(SEEN[sight]).T)
    distances = np.linalg.norm(seen[:, None] - seen, axis=-1) + 1e9 * np.eye(len(seen))
    assert distances.min() > least


def test_colours_are_seen_on_white_and_on_black() -> None:
    luminance = linear(rgb(COLORS)) @ XYZ[1]
    assert (1.05 / (luminance + 0.05)).min() > 1.5
    assert ((luminance + 0.05) / 0.05).min() > 2


def test_neighbours_have_different_colours() -> None:
    places = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)
    colors = component_colors(places)
    assert np.array_equal(colors[:10], rgb(COLORS))
    near = np.linalg.norm(places[:, None] - places, axis=-1) <= 1
    same = (colors[:, None] == colors).all(axis=-1)
    assert not (near & same & ~np.eye(64, dtype=bool)).any()


def test_mixed_colours_are_between() -> None:
    black_white = np.array([[0.0, 0, 0], [1, 1, 1]])
    np.testing.assert_allclose(mixed(np.array([[1.0, 0], [0, 1]]), black_white), black_white)
    half = mixed(np.array([[0.5, 0.5]]), black_white)
    assert half[0, 0] == pytest.approx(0.7354, abs=1e-4)  # half the light
    np.testing.assert_allclose(srgb(linear(rgb(COLORS))), rgb(COLORS), atol=1e-12)


# Shapes ------------------------------------------------------------------------------------------


def test_ellipses_hold_their_part() -> None:
    assert chi_squared_radius(0.9, 2) ** 2 == pytest.approx(chi2.ppf(0.9, 2))
    assert chi_squared_radius(0.5, 1) == pytest.approx(norm.ppf(0.75))
    rng = np.random.default_rng(0)
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    found = ellipses(np.array([[1.0, 2.0]]), covariance[None], 0.8)
    patch = Ellipse(found.centers[0], *found.widths[0], angle=found.degrees[0])
    rows = rng.multivariate_normal([1, 2], covariance, size=20_000)
    assert patch.contains_points(rows).mean() == pytest.approx(0.8, abs=0.01)


def shoelace(corners: FloatArray) -> float:
    x, y = corners.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def test_cells_are_those_of_voronoi() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(20, 2))
    found = cells(centers, np.full(2, -50.0), np.full(2, 50.0))
    diagram = Voronoi(centers)
    n_bounded = 0
    for k, region in enumerate(diagram.point_region):
        corners = diagram.vertices[diagram.regions[region]]
        if -1 in diagram.regions[region] or np.abs(corners).max() > 50:
            continue
        n_bounded += 1
        ours = found[k][np.lexsort(found[k].T)]
        np.testing.assert_allclose(ours, corners[np.lexsort(corners.T)], atol=1e-9)
    assert n_bounded > 5
    areas = [shoelace(corners) for corners in found]
    assert sum(areas) == pytest.approx(100**2)


# Views -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_plane_is_that_of_discriminant_analysis(structure: Any, iris: FloatArray) -> None:
    parameters = parameters_of(
        GaussianMixture(3, covariance_type=structure, random_state=0).fit(iris)
    )
    view = separating_view(parameters)
    weights, means = parameters.weights, parameters.means
    within = np.tensordot(weights, parameters.full_covariances(), axes=1)
    center = weights @ means
    between = (weights[:, None] * (means - center)).T @ (means - center)
    from scipy.linalg import eigh

    values, vectors = eigh(between, within)
    cosines = np.abs(np.sum(view.axes * vectors[:, :-3:-1], axis=0)) / np.linalg.norm(
        view.axes, axis=0
    ) / np.linalg.norm(vectors[:, :-3:-1], axis=0)  # fmt: skip
    np.testing.assert_allclose(cosines, 1, atol=1e-8)
    np.testing.assert_allclose(view.axes.T @ within @ view.axes, np.eye(2), atol=1e-8)
    share = values[-1] / values[-2:].sum()
    assert view.labels[0].startswith("discriminant 1 (projection, ")
    assert f"{100 * share:.3g} %" in view.labels[0]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_view_shows_the_marginal(structure: Any, iris: FloatArray) -> None:
    model = GaussianMixture(3, covariance_type=structure, random_state=0).fit(iris)
    view = features_view(np.array([3, 1]), ["a", "b", "c", "d"])
    assert view.labels == ("d", "b")
    marginal = parameters_of(model.marginal([3, 1]))
    seen = view.mixture(parameters_of(model))
    np.testing.assert_allclose(seen.means, marginal.means)
    np.testing.assert_allclose(seen.covariances, marginal.full_covariances(), atol=1e-14)
    np.testing.assert_array_equal(view.points(iris), iris[:, [3, 1]])


@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize("n_components", [1, 2])
def test_means_that_span_no_plane(structure: Any, n_components: int) -> None:
    spread = np.tile([1.0, 9.0, 1.0, 4.0], (n_components, 1))
    spread[-1, 2] = 25.0 if n_components == 2 else 1.0
    covariances = spread if structure == "diag" else np.array([np.diag(row) for row in spread])
    means = np.zeros((n_components, 4))
    means[0, 0] = 6.0 if n_components == 2 else 0.0
    weights = np.full(n_components, 1 / n_components)
    view = separating_view(Parameters.from_covariances(structure, weights, means, covariances))
    main = np.abs(view.axes).argmax(axis=0).tolist()
    # the mean differs in 0 and the variance in 2; without a difference the widest are 1 and 3
    assert main == ([0, 2] if n_components == 2 else [1, 3])
    if n_components == 2:
        assert view.labels[1] == "direction 2 (projection, means do not differ)"
    else:
        assert view.labels == (
            "principal direction 1 (projection)",
            "principal direction 2 (projection)",
        )


def test_many_diagonal_features_take_no_matrix() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(2, 30_000))
    parameters = Parameters.from_covariances("diag", np.full(2, 0.5), means, np.ones((2, 30_000)))
    axes = separating_view(parameters).axes
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-8)


def test_long_names_keep_both_ends() -> None:
    assert in_lines("short", 16) == "short"
    assert in_lines("two words that wrap", 12) == "two words\nthat wrap"
    long = in_lines("the income of the household before tax in 2024", 12)
    assert long == "the income …\ntax in 2024".replace("tax in", " tax in")


# plot --------------------------------------------------------------------------------------------


def test_classification(model: GaussianMixture, faithful: FloatArray) -> None:
    axes = axes_of_own()
    assert model.plot(faithful, ax=axes, level=0.75) is axes
    (points,) = axes.collections
    assert sorted(map(tuple, points.get_offsets().tolist())) == sorted(
        map(tuple, faithful.tolist())
    )
    resp = model.predict_proba(np.asarray(points.get_offsets()))
    np.testing.assert_allclose(points.get_facecolors()[:, :3], mixed(resp, rgb(COLORS)[:2]))
    for patch, mean, covariance in zip(
        outlines(axes), model.means_, model.covariances_, strict=True
    ):
        np.testing.assert_allclose(patch.center, mean)
        variances, directions = np.linalg.eigh(covariance)
        radius = np.sqrt(chi2.ppf(0.75, 2))
        np.testing.assert_allclose([patch.width, patch.height], 2 * radius * np.sqrt(variances))
        angle = np.radians(patch.angle)
        assert abs(
            np.cos(angle) * directions[0, 0] + np.sin(angle) * directions[1, 0]
        ) == pytest.approx(1)
    assert legend_of(axes) == ["component 0, 35.6 %", "component 1, 64.4 %", "75 % of a component"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("feature 0", "feature 1")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("features", [None, 2, [2, 0]])
@pytest.mark.parametrize("structure", ["full", "tied", "spherical"])
def test_every_kind_of_every_structure(
    structure: Any, features: Any, kind: Any, iris: FloatArray
) -> None:
    model = GaussianMixture(3, covariance_type=structure, random_state=0).fit(iris)
    for X in (iris.astype(np.float32), None):
        if X is None and kind == "uncertainty":
            continue
        axes = model.plot(X, kind=kind, features=features, ax=axes_of_own())
        axes.figure.canvas.draw()
        assert axes.get_legend() is not None
        one = features == 2
        assert axes.get_xlabel() == ("feature 2" if features else axes.get_xlabel())
        assert ("projection" in axes.get_xlabel()) == (features is None)
        assert (axes.get_ylabel() in ("density", "uncertainty")) == one


def test_uncertain_rows_have_larger_dots(model: GaussianMixture, faithful: FloatArray) -> None:
    axes = model.plot(faithful, kind="uncertainty", ax=axes_of_own())
    (points,) = axes.collections
    places, areas = np.asarray(points.get_offsets()), points.get_sizes()
    unsure = 1 - model.predict_proba(places).max(axis=1)
    np.testing.assert_allclose(areas, areas.min() + 110 * (unsure - unsure.min()), atol=1e-9)
    assert legend_of(axes)[:3] == ["uncertainty 0", "uncertainty 0.25", "uncertainty 0.5"]


def test_regions_are_those_of_hdr_level(model: GaussianMixture) -> None:
    axes = model.plot(kind="density", level=0.95, ax=axes_of_own())
    lines = axes.collections[-1]
    wanted = model.hdr_level([0.95, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(np.sort(lines.levels), np.sort(wanted), atol=0.05)
    assert legend_of(axes) == ["95 %", "75 %", "50 %", "25 %"]
    outer = lines.get_paths()[0].vertices
    drawn = model.score_samples(outer)
    assert np.abs(drawn - lines.levels[0]).max() < 0.02


def test_one_feature(faithful: FloatArray) -> None:
    model = GaussianMixture(2, random_state=0).fit(faithful[:, 1:])
    axes = model.plot(faithful[:, 1:], ax=axes_of_own())
    *parts, total = axes.lines[:3]
    x = total.get_xdata()
    np.testing.assert_allclose(total.get_ydata(), np.exp(model.score_samples(x[:, None])))
    for k, part in enumerate(parts):
        sigma = float(np.sqrt(model.covariances_[k, 0, 0]))
        wanted = model.weights_[k] * norm.pdf(x, model.means_[k, 0], sigma)
        np.testing.assert_allclose(part.get_ydata(), wanted, atol=1e-12)
    tops = axes.patches[-1].get_data()  # bars stand on each other, their area is 1
    assert (tops.values * np.diff(tops.edges)).sum() == pytest.approx(1)
    areas = [
        ((p.get_data().values - p.get_data().baseline) * np.diff(tops.edges)).sum()
        for p in axes.patches
    ]
    np.testing.assert_allclose(areas, model.predict_proba(faithful[:, 1:]).mean(axis=0), atol=1e-6)


def test_a_narrow_peak_hides_nothing() -> None:
    weights, means = [0.95, 0.05], [[0.0], [4.0]]
    model = GaussianMixture.from_parameters(weights, means, [1.0, 1e-8], "spherical")
    axes = model.plot(ax=axes_of_own())
    assert axes.get_ylim()[1] < 5
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "^"] == [4.0]


@pytest.mark.parametrize("place", [0.0, -3.0, 1.7e15, -1e18, 1e140])
@pytest.mark.parametrize("rows", [1, 2, 30])
def test_equal_rows_have_bars(place: float, rows: int) -> None:
    """Nanoseconds since 1970, for example: bars of width 0.5 would fall together."""
    scale = max(1.0, abs(place))
    model = GaussianMixture.from_parameters([1.0], [[place]], [scale**2], "spherical")
    X = np.full((rows, 1), place)
    X[-1] = np.nextafter(place, np.inf)
    axes = model.plot(X, ax=axes_of_own())
    (bars,) = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    values, edges, _ = bars.get_data()
    assert (np.diff(edges) > 0).all()
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)


def test_a_collapsed_component_is_drawn() -> None:
    covariances = [np.eye(2), 1e-6 * np.eye(2)]
    model = GaussianMixture.from_parameters([0.9, 0.1], [[0, 0], [6, 6]], covariances)
    kinds: list[Any] = ["classification", "density", "components"]
    for kind in kinds:
        axes = model.plot(kind=kind, ax=axes_of_own())
        axes.figure.canvas.draw()
        assert axes.get_xlim()[1] > 6
    regions = model.plot(kind="density", ax=axes_of_own()).collections[-1]
    assert regions.get_paths()[-1].contains_point((6, 6)) or any(
        np.abs(path.vertices - 6).max(axis=1).min() < 0.01 for path in regions.get_paths()
    )


def test_pairs(iris: FloatArray) -> None:
    model = GaussianMixture(3, random_state=0).fit(iris)
    axes = model.plot(iris, kind="pairs")
    assert axes.shape == (4, 4)
    assert np.array_equal(
        np.sort(axes[2, 0].collections[0].get_offsets(), axis=0), np.sort(iris[:, [0, 2]], axis=0)
    )
    assert not axes[0, 2].collections
    assert len(outlines(axes[0, 2])) == 3
    assert axes[2, 0].get_ylim() == axes[2, 2].get_xlim()
    assert [panel.get_xlabel() for panel in axes[-1]] == [f"feature {i}" for i in range(4)]
    assert model.plot(iris, kind="pairs", features=[0, 3, 1]).shape == (3, 3)
    with pytest.raises(ValueError, match="ax must be None for kind='pairs'"):
        model.plot(iris, kind="pairs", ax=axes[0, 0])


def test_many_pairs_are_not_drawn_unasked() -> None:
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 13)), np.ones((1, 13)), "diag")
    with pytest.raises(ValueError, match=r"features must be given .*more than 12 features.* 13"):
        model.plot(kind="pairs")
    assert model.plot(kind="pairs", features=[12, 0]).shape == (2, 2)


def test_many_rows_are_a_sample(faithful: FloatArray, model: GaussianMixture) -> None:
    X = np.tile(faithful, (20, 1))
    axes = model.plot(X, ax=axes_of_own(), max_points=100)
    assert len(axes.collections[0].get_offsets()) == 100
    assert axes.get_legend().get_title().get_text() == "100 of 5,440 rows"


def test_many_components_are_numbered_and_not_listed() -> None:
    means = np.stack(np.meshgrid(range(8), range(8)), axis=-1).reshape(-1, 2)
    model = GaussianMixture.from_parameters(
        np.full(64, 1 / 64), means, np.full(64, 0.1), "spherical"
    )
    axes = model.plot(ax=axes_of_own())
    assert [text.get_text() for text in axes.texts] == [str(k) for k in range(64)]
    assert legend_of(axes) == ["90 % of a component"]


def test_paths_frames_and_dask(
    faithful: FloatArray, model: GaussianMixture, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", faithful)
    wanted = model.plot(faithful, ax=axes_of_own()).collections[0].get_offsets()
    drawn = model.plot(tmp_path / "a.npy", ax=axes_of_own()).collections[0].get_offsets()
    assert np.array_equal(drawn, wanted)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(faithful, columns=["duration", "waiting"])
    named = GaussianMixture(2, random_state=0).fit(frame)
    axes = named.plot(frame, features=["waiting", "duration"], ax=axes_of_own())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("waiting", "duration")
    dask = pytest.importorskip("dask.array")
    lazy = dask.from_array(faithful, chunks=(100, 2))
    axes = model.plot(lazy, ax=axes_of_own(), max_points=50)
    assert len(axes.collections[0].get_offsets()) == 50
    assert axes.get_legend().get_title().get_text() == "50 of 272 rows"


def test_own_figure_and_the_users_style(model: GaussianMixture, faithful: FloatArray) -> None:
    axes = model.plot(faithful)
    assert axes.figure.number in plt.get_fignums()
    assert mpl.colors.to_hex(axes.get_facecolor()) == "#ffffff"
    with plt.style.context("dark_background"):
        dark = model.plot(faithful)
        assert mpl.colors.to_hex(dark.figure.get_facecolor()) == "#000000"
        assert mpl.colors.to_hex(outlines(dark)[0].get_edgecolor()) == "#ffffff"
    both = Figure().subplots(1, 2)
    model.plot(faithful, ax=both[0])
    model.plot(faithful, kind="density", ax=both[1])
    assert len(both[0].figure.axes) == 2


def test_arguments_are_checked(model: GaussianMixture, faithful: FloatArray) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "pie"}, "kind must be one of 'classification', .*got 'pie'"),
        ({"features": "waiting"}, "features must name features of the model, got 'waiting'"),
        ({"features": 2}, "features must be indices below the number of features, 2, got 2"),
        ({"features": [0, 0]}, "features must be different features"),
        ({"level": 1.0}, "level must be greater than 0 and less than 1, got 1.0"),
        ({"level": 0}, "level must be a finite number greater than 0, got 0"),
        ({"ax": 3}, "ax must be Axes of matplotlib, or None for a new figure, got 3"),
        ({"max_points": 0}, "max_points must be an integer of at least 1, got 0"),
    ]
    for arguments, message in wrong:
        with pytest.raises(gaussmix.ParameterError, match=message):
            model.plot(faithful, **arguments)
    with pytest.raises(gaussmix.ParameterError, match="X must be given for kind='uncertainty'"):
        model.plot(kind="uncertainty")
    with pytest.raises(ValueError, match="3 features"):
        model.plot(np.ones((5, 3)))
    three = GaussianMixture.from_parameters([1.0], [[0, 0, 0]], [[1, 1, 1]], "diag")
    with pytest.raises(gaussmix.ParameterError, match=r"features must be one or two .* got 3"):
        three.plot(features=[0, 1, 2])
    for unfitted in (GaussianMixture(2), KMeans(2)):
        for method in (unfitted.plot, unfitted.summary):
            with pytest.raises(NotFittedError):
                method()


def test_without_matplotlib_the_extra_is_named(
    model: GaussianMixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    kmeans = KMeans(1).fit([[0.0], [1.0]])
    hierarchy = model.hierarchy(criterion="bhattacharyya")
    for draw in (model.plot, model.plot_convergence, kmeans.plot, hierarchy.plot):
        with pytest.raises(ImportError, match=r'pip install "gaussmix\[plot\]"'):
            draw()


# K-means -----------------------------------------------------------------------------------------


def test_cells_and_centres(faithful: FloatArray) -> None:
    kmeans = KMeans(4, random_state=0).fit(faithful)
    axes = kmeans.plot(faithful, ax=axes_of_own())
    polygons = [patch for patch in axes.patches if isinstance(patch, Polygon)]
    assert len(polygons) == 4
    for label, row in zip(kmeans.labels_[::40], faithful[::40], strict=True):
        assert polygons[label].get_path().contains_point(row, radius=1e-9)
    dots, centers = axes.collections
    np.testing.assert_array_equal(centers.get_offsets(), kmeans.cluster_centers_)
    labels = kmeans.predict(np.asarray(dots.get_offsets()))
    np.testing.assert_allclose(dots.get_facecolors()[:, :3], rgb(COLORS)[labels], atol=1e-7)
    assert legend_of(axes) == [f"cluster {k}" for k in range(4)]


def test_cells_are_drawn_only_where_they_are_true(iris: FloatArray) -> None:
    for n_clusters, features, n_cells in ((3, None, 3), (5, None, 0), (3, [0, 2], 0)):
        kmeans = KMeans(n_clusters, random_state=0).fit(iris)
        axes = kmeans.plot(iris, features=features, ax=axes_of_own())
        assert sum(isinstance(patch, Polygon) for patch in axes.patches) == n_cells
        if n_cells:
            spread = np.linalg.norm(np.diff(axes.collections[-1].get_offsets(), axis=0), axis=1)
            true = np.linalg.norm(np.diff(kmeans.cluster_centers_, axis=0), axis=1)
            np.testing.assert_allclose(spread, true)


def test_kmeans_of_one_feature_pairs_and_sparse_rows(iris: FloatArray) -> None:
    kmeans = KMeans(3, random_state=0).fit(iris[:, :1])
    axes = kmeans.plot(iris[:, :1], ax=axes_of_own())
    borders = sorted(line.get_xdata()[0] for line in axes.lines)
    inner = np.sort(kmeans.cluster_centers_[:, 0])
    np.testing.assert_allclose(borders, (inner[1:] + inner[:-1]) / 2)
    whole = KMeans(3, random_state=0).fit(iris)
    assert whole.plot(iris, kind="pairs", features=[0, 1]).shape == (2, 2)
    from scipy.sparse import csr_array

    dense, sparse = (whole.plot(X, ax=axes_of_own()) for X in (iris, csr_array(iris)))
    np.testing.assert_allclose(
        dense.collections[0].get_offsets(), sparse.collections[0].get_offsets(), atol=1e-12
    )
    with pytest.raises(ValueError, match="kind must be one of 'classification', 'pairs'"):
        whole.plot(kind="density")  # type: ignore[arg-type]


# Curves and trees --------------------------------------------------------------------------------


def test_convergence(model: GaussianMixture, faithful: FloatArray) -> None:
    axes = model.plot_convergence(ax=axes_of_own())
    drawn = axes.lines[0].get_ydata()
    assert drawn.tolist() == [*model.lower_bounds_, model.lower_bound_]
    assert legend_of(axes) == [f"converged after {model.n_iter_} iterations"]
    given = GaussianMixture.from_parameters([1.0], [[0.0]], [[1.0]], "diag")
    with pytest.raises(ValueError, match="plot_convergence needs the iterations of a fit"):
        given.plot_convergence()
    assert (
        "not converged" in legend_of(GaussianMixture(2).partial_fit(faithful).plot_convergence())[0]
    )


def test_curves_have_their_own_colour_and_mark() -> None:
    names = [f"structure {i}" for i in range(14)]
    values = {name: [float(100 * i + k) for k in range(3)] for i, name in enumerate(names)}
    axes = draw_curves(Curves([1, 2, 4], values, (1, names[0]), "BIC"), axes_of_own())
    lines = [line for line in axes.lines if line.get_label() in names]
    looks = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(looks) == len({line.get_marker() for line in lines}) == 14
    assert axes.get_xticks().tolist() == [1, 2, 4]


def test_marks_of_hidden_values_lie_beside_each_other() -> None:
    values = {name: [9e4, 10.0, 11.0, 12.0] for name in ("full", "tied", "diag")}
    axes = draw_curves(Curves([1, 2, 3, 4], values, (2, "full"), "BIC"), axes_of_own())
    axes.figure.canvas.draw()
    marks = [line for line in axes.lines if line.get_marker() == "^"]
    places = np.array([line.get_transform().transform(line.get_xydata())[0] for line in marks])
    assert len(marks) == 3
    apart = np.diff(places[:, 0]) * 72 / axes.figure.dpi
    np.testing.assert_allclose(apart, 7.0)


def test_a_tree_on_axes_and_on_a_new_figure() -> None:
    rng = np.random.default_rng(0)
    model = GaussianMixture.from_parameters(
        np.full(64, 1 / 64), rng.normal(size=(64, 2)) * 9, np.ones(64), "spherical"
    )
    hierarchy = model.hierarchy(criterion="bhattacharyya")
    axes = axes_of_own()
    assert hierarchy.plot(axes) is axes
    (tree,) = hierarchy.plot()
    tree.figure.canvas.draw()
    labels = [label.get_window_extent() for label in tree.get_xticklabels()]
    assert len(labels) == 64
    assert all(a.x1 <= b.x0 + 1 for a, b in pairwise(labels))
    with pytest.raises(ValueError, match="ax must be Axes of matplotlib"):
        hierarchy.plot("here")
    with pytest.raises(ValueError, match="colors must be colours of matplotlib, got 'no'"):
        hierarchy.plot(axes, ["no"] * hierarchy.n_clusters)


# Pictures as a whole -----------------------------------------------------------------------------

WIDTH, HEIGHT, CELL = 320, 240, 8  # pixels, and the side of the squares that are compared


def digest(axes: Any) -> FloatArray:
    """Mean colours of squares of pixels: fonts and anti-aliasing hardly change them."""
    canvas: Any = FigureCanvasAgg(axes.figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float)
    squares = pixels.reshape(HEIGHT // CELL, CELL, WIDTH // CELL, CELL, 3)
    return np.asarray(squares.mean(axis=(1, 3)))


@pytest.mark.parametrize("kind", [*KINDS, "one feature", "cells"])
def test_the_picture_is_the_one_that_was_looked_at(kind: Any, faithful: FloatArray) -> None:
    """The pictures are in data/pictures.npz; `GAUSSMIX_PICTURES=new` of this test writes them."""
    mean = [[2.0, 54.0], [4.3, 80.0]]
    covariance = [[[0.07, 0.4], [0.4, 34.0]], [[0.17, 0.9], [0.9, 36.0]]]
    model = GaussianMixture.from_parameters([0.36, 0.64], mean, covariance)
    axes: Any = Figure(figsize=(3.2, 2.4), dpi=100).add_axes((0, 0, 1, 1))
    if kind == "cells":
        KMeans(3, random_state=0).fit(faithful).plot(faithful, ax=axes)
    elif kind == "one feature":
        model.plot(faithful, features=1, ax=axes)
    else:
        model.plot(faithful, kind=kind, ax=axes)
    axes.get_legend().remove()
    found, stored = digest(axes), DATA / "pictures.npz"
    if os.environ.get("GAUSSMIX_PICTURES") == "new":
        others = dict(np.load(stored)) if stored.exists() else {}
        np.savez_compressed(stored, **{**others, kind: found.round().astype(np.uint8)})
    wanted = np.load(stored)[kind].astype(float)
    assert np.abs(found - wanted).mean() < 2.0
    assert np.abs(found - wanted).max() < 60


def test_a_digest_tells_pictures_apart() -> None:
    stored = np.load(DATA / "pictures.npz")
    names = sorted(stored)
    for i, one in enumerate(names):
        for other in names[:i]:
            assert np.abs(stored[one].astype(float) - stored[other]).mean() > 2.0
