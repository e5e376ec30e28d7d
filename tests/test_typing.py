"""What a user's type checker says of calls of the library: mypy runs on a small file."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import gaussmix
from gaussmix._core import types
from gaussmix.em.acceleration import METHODS
from gaussmix.estimators import kmeans, settings
from gaussmix.model.covariance import structure_names
from gaussmix.queries import hierarchy
from gaussmix.queries.divergences import DISTANCES
from gaussmix.selection.candidates import CRITERIA
from gaussmix.starts.methods import METHOD_NAMES

HEAD = """\
from pathlib import Path
from typing import Any
import numpy as np
import gaussmix
from gaussmix import GaussianMixture, KMeans

X = np.zeros((9, 2))
mixture, kmeans = GaussianMixture(2), KMeans(2)

class Frame:
    def __array__(self, dtype: Any = None, copy: Any = None) -> "np.ndarray[Any, Any]":
        return X

class Sparse:
    nnz = 0
    def toarray(self) -> Any: ...

class Lazy:
    def __dask_graph__(self) -> Any: ...
"""

REVEALED = {
    "mixture.fit(X)": "GaussianMixture",
    "mixture.partial_fit(X)": "GaussianMixture",
    "mixture.predict(X)": "ndarray[..., int32]",
    "mixture.fit_predict(X)": "ndarray[..., int32]",
    "mixture.predict_proba(X)": "ndarray[..., floating]",
    "mixture.score_samples(X)": "ndarray[..., floating]",
    "mixture.predict(X, out='labels.npy')": "Path",
    "mixture.predict_proba('rows.npy', out=Path('resp.npy'))": "Path",
    "mixture.score_samples(X, out='scores.npy')": "Path",
    "mixture.predict(Lazy())": "Any",
    "mixture.score(X)": "float",
    "mixture.cdf(0.5)": "float64",
    "mixture.quantile([0.1, 0.9])": "ndarray[..., float64]",
    "mixture.hdr_level(0.5)": "float64",
    "mixture.marginal(0)": "GaussianMixture",
    "mixture.conditional(0, 1.5)": "GaussianMixture",
    "kmeans.fit(Sparse())": "KMeans",
    "kmeans.predict(Sparse())": "ndarray[..., int32]",
    "kmeans.predict(X, out='labels.npy')": "Path",
    "kmeans.fit_predict(X)": "ndarray[..., int32]",
    "kmeans.transform(X)": "ndarray[..., floating]",
    "kmeans.fit_transform(X)": "ndarray[..., floating]",
    "gaussmix.load('model.npz')": "GaussianMixture | BayesianGaussianMixture | KMeans",
    "gaussmix.load('model.npz', KMeans)": "KMeans",
    "gaussmix.load('model.npz', kind=GaussianMixture)": "GaussianMixture",
}

ACCEPTED = [
    "mixture.fit([[1, 2.5], [3, 4]], sample_weight=[1, 2])",
    "mixture.fit(((1, 2), (3, 4)), sample_weight=2)",
    "mixture.fit(X.astype(np.float32), None, X[:, 0])",
    "mixture.fit(Frame(), sample_weight=Frame())",
    "mixture.fit('rows.npy')",
    "mixture.fit(Path('rows.npy'))",
    "mixture.fit(['one.npy', 'two.npy'])",
    "mixture.fit([X, X])",
    "mixture.fit([(X, X[:, 0])])",
    "mixture.fit(gaussmix.scan('rows.npy'))",
    "mixture.fit(lambda: iter([X, X]))",
    "mixture.fit(Lazy(), sample_weight=Lazy())",
    "[mixture.predict(part) for part in gaussmix.scan('rows.npy')]",
    "GaussianMixture(2, covariance_type='tied', init_params='emem', accelerate='anderson')",
    "KMeans(2, init=[[0, 0], [1, 1]], n_init='auto', algorithm='elkan')",
    "KMeans(2, init=lambda X, k, random_state: X[:k])",
    "gaussmix.select(X, 3, ['full', 'diag'], criterion='icl')",
    "gaussmix.select(X, 3, 'all')",
]

REFUSED = [
    "mixture.fit(42)",
    "mixture.fit(None)",
    "mixture.fit([1.0, 2.0])",
    "mixture.fit(iter([X]))",
    "mixture.fit(Sparse())",
    "mixture.fit(X, sample_weight='heavy')",
    "mixture.predict(42)",
    "mixture.predict(X, out=3)",
    "kmeans.fit(42)",
    "kmeans.transform(42)",
    "GaussianMixture(2, covariance_type='round')",
    "GaussianMixture(2, init_params='best')",
    "GaussianMixture(2, accelerate='yes')",
    "GaussianMixture(2, algorithm='lloyd')",
    "GaussianMixture.from_parameters([1], [[0]], [1], 'round')",
    "mixture.component_distances('far')",
    "mixture.hierarchy(X, criterion='size')",
    "KMeans(2, init='best')",
    "KMeans(2, n_init='best')",
    "KMeans(2, algorithm='em')",
    "gaussmix.select(X, criterion='loss')",
    "gaussmix.scan(42)",
    "mixture.hierarchy(X).predict(42)",
    "gaussmix.load('model.npz', int)",
]
OF_AN_ARGUMENT = r"\[(arg-type|call-overload|list-item|type-var)\]$"


def messages(code: str, folder: Path) -> dict[int, str]:
    """What mypy says of the lines of a file, by their number."""
    script = folder / "user.py"
    script.write_text(code, encoding="utf-8")
    source = Path(gaussmix.__file__).parents[1]
    # an installed library is found without
    search = {"MYPYPATH": str(source)} if source.name == "src" else {}
    options = ["--strict", "--no-error-summary", "--ignore-missing-imports", "--no-pretty"]
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--follow-imports=silent", script.name],
        cwd=folder,
        env={**os.environ, **search},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert not result.stderr, result.stderr
    found: dict[int, str] = {}
    for number, kind, text in re.findall(r"^user\.py:(\d+): (\w+): (.*)$", result.stdout, re.M):
        if kind == "error" or text.startswith("Revealed"):
            found.setdefault(int(number), text)
    return found


def short(text: str) -> str:
    """The revealed type without modules, shapes and parameters of scalars."""
    (revealed,) = re.findall(r'^Revealed type is "(.*)"$', text)
    revealed = re.sub(r"\b(?:\w+\.)+(?=\w)", "", revealed)
    revealed = re.sub(r"floating\[\w+\]", "floating", revealed)
    revealed = revealed.replace("signedinteger[_32Bit]", "int32").replace(
        "floating[_64Bit]", "float64"
    )
    return re.sub(r"ndarray\[.*, dtype\[(\w+)\]\]", r"ndarray[..., \1]", revealed)


@pytest.mark.slow
def test_types_of_public_calls(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    lines = [*(f"reveal_type({call})" for call in REVEALED), *ACCEPTED, *REFUSED]
    found = messages(HEAD + "\n".join(lines) + "\n", tmp_path)
    first = HEAD.count("\n") + 1
    said = {line: found.pop(first + i, "") for i, line in enumerate(lines)}
    assert not found, "the head of the file is accepted"
    for call, kind in REVEALED.items():
        assert short(said[f"reveal_type({call})"]) == kind, call
    assert {line: said[line] for line in ACCEPTED} == dict.fromkeys(ACCEPTED, "")
    accepted = [line for line in REFUSED if not re.search(OF_AN_ARGUMENT, said[line])]
    assert not accepted


@pytest.mark.parametrize(
    ("literal", "choices"),
    [
        (types.CovarianceType, structure_names()),
        (types.InitMethod, METHOD_NAMES),
        (types.Acceleration, METHODS),
        (types.Algorithm, settings.ALGORITHMS),
        (types.CentersMethod, ("k-means++", "random")),
        (types.KMeansAlgorithm, kmeans.ALGORITHMS),
        (types.MergeCriterion, hierarchy.CRITERIA),
        (types.DistanceKind, DISTANCES),
        (types.SelectionCriterion, CRITERIA),
    ],
)
def test_literals_are_the_choices(literal: object, choices: object) -> None:
    assert set(get_args(literal)) == set(choices)  # type: ignore[call-overload]
