"""Files that something has changed: what is refused is refused by name, the rest makes sense.

Every kind of file is changed a few hundred times, from a fixed seed: its bytes, and the bytes of an
archive's members under checksums that are right again.
"""

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import (
    CheckpointError,
    DataError,
    GaussianMixture,
    KMeans,
    ModelFileError,
    load,
    save,
    scan,
)
from gaussmix._core.types import Acceleration, CovarianceType, FloatArray
from gaussmix.io.scans import read_all
from gaussmix.io.sinks import write

pytestmark = pytest.mark.fuzz

N_MUTATIONS = 300  # of a kind of file
NUMBERS = ("0", "-1", "1e308", "NaN", "null", "[]", "{}", '"x"', "true", "99999999999999999999")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Flip bits, or cut, repeat, insert or overwrite a part."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 3])):
        place, length = rng.randrange(len(changed) + 1), rng.choice([1, 2, 8, 64])
        part = slice(place, place + length)
        kind = rng.randrange(6)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[part]
        elif kind == 2:
            changed[place:place] = changed[part]
        elif kind == 3:
            changed[part] = rng.randbytes(length)
        elif kind == 4:
            changed[part] = rng.choice(NUMBERS).encode()
        else:
            del changed[place:]
    return bytes(changed)


def mutated_text(text: str, rng: random.Random) -> str:
    """Change a value somewhere in JSON, or leave something out."""
    return json.dumps(_mutated_value(json.loads(text), rng))


def _mutated_value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        keys = [*value] if isinstance(value, dict) else [*range(len(value))]
        key = rng.choice(keys)
        if rng.random() < 0.2:
            value.pop(key)
        else:
            value[key] = _mutated_value(value[key], rng)
        return value
    return json.loads(rng.choice(NUMBERS))


def mutated_array(array: Any, rng: random.Random) -> Any:
    """Change values, the dtype or the shape of an array, or JSON in it."""
    if array.dtype.kind == "U":
        text = str(array)
        return np.array(mutated_text(text, rng) if text.startswith("{") else text + "x")
    kind = rng.randrange(5)
    if kind == 0:
        return array.astype(rng.choice(["f4", "i8", "U5", "?", ">f8", "O"]))
    if kind == 1:
        return np.resize(array, rng.choice([(), (0,), (1,), (3, 3), (7, 1), (2, 2, 2)]))
    if kind == 2 and array.ndim:
        return array[::-1].copy()
    changed = np.array(array)
    if changed.size:
        value = rng.choice([0, -1, 7, 0.5, 1e-300, 1e300, np.nan, np.inf])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of NaN as an integer
            changed.flat[rng.randrange(changed.size)] = np.array(value).astype(changed.dtype)
    return changed


def mutated_archive(content: bytes, rng: random.Random) -> bytes:
    """Change a member of an archive, under checksums that are right."""
    with np.load(io.BytesIO(content)) as archive:
        entries = dict(archive)
    name = rng.choice([*entries])
    kind = rng.randrange(8)
    buffer = io.BytesIO()
    if kind == 0:
        del entries[name]
    elif kind == 1:
        entries[name] = entries[rng.choice([*entries])]
    elif kind > 2:
        entries[name] = mutated_array(entries[name], rng)
    np.savez(buffer, **entries)
    if kind != 2:
        return buffer.getvalue()
    packed = io.BytesIO()  # the bytes of a member, its header among them
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(packed, "w") as new:
        for member in old.namelist():
            inner = old.read(member)
            new.writestr(member, mutated(inner, rng) if member == f"{name}.npy" else inner)
    return packed.getvalue()


def mutations(
    path: Path, *ways: Callable[[bytes, random.Random], bytes], kinds: int = 1
) -> Iterator[int]:
    """Write what has become of a file, again and again: a part of all mutations for each kind."""
    whole, rng = path.read_bytes(), random.Random(path.name)
    for number in range(N_MUTATIONS // kinds):
        path.write_bytes(ways[number % len(ways)](whole, rng))
        yield number


@pytest.fixture(scope="module")
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 2)) + 3 * rng.integers(3, size=(200, 1))


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_mixtures(structure: CovarianceType, X: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / f"{structure}.npz"
    save(GaussianMixture(3, covariance_type=structure, random_state=0).fit(X), path)
    n_refused = 0
    for _ in mutations(path, mutated, mutated_archive, kinds=3):
        try:
            model = load(path)
        except ModelFileError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            assert "allow_pickle" not in str(error)  # noqa: PT017
            n_refused += 1
            continue
        assert isinstance(model, GaussianMixture)
        assert model.checkpoint is None
        rows = np.resize(X, (9, model.means_.shape[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of names that features have now
            try:
                proba = model.predict_proba(rows)
            except ValueError as error:  # a mean or a covariance that is far away now, but valid
                assert "squared distances overflow" in str(error)  # noqa: PT017
                continue
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        assert model.sample(3, 0)[0].shape == (3, rows.shape[1])
    assert n_refused > N_MUTATIONS / 3 / 2


def test_kmeans(X: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / "k.npz"
    save(KMeans(3, random_state=0).fit(X), path)
    n_refused = 0
    for _ in mutations(path, mutated, mutated_archive):
        try:
            model = load(path)
        except ModelFileError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            n_refused += 1
            continue
        assert isinstance(model, KMeans)
        labels = model.predict(np.resize(X, (9, model.cluster_centers_.shape[1])))
        assert ((labels >= 0) & (labels < model.n_clusters)).all()
    assert n_refused > N_MUTATIONS / 2


@pytest.mark.slow
@pytest.mark.parametrize("accelerate", [None, "squarem", "anderson"])
@pytest.mark.parametrize("generator", [False, True])
def test_checkpoints(
    accelerate: Acceleration | None, generator: bool, X: FloatArray, tmp_path: Path
) -> None:
    path = tmp_path / f"{accelerate}-{generator}.ckpt"

    def fit(max_iter: int) -> GaussianMixture:
        source: Any = np.random.default_rng(0) if generator else 0
        params: dict[str, Any] = {"max_iter": max_iter, "tol": 0, "n_init": 2, "checkpoint": path}
        model = GaussianMixture(3, accelerate=accelerate, random_state=source, **params)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return model.fit(X)

    fit(9)
    n_refused = 0
    for _ in mutations(path, mutated, mutated_archive, kinds=6):
        before = path.read_bytes()
        try:
            model = fit(11)
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            assert "allow_pickle" not in str(error)  # noqa: PT017
            assert path.read_bytes() == before
            n_refused += 1
            continue
        assert np.isfinite(model.lower_bound_)
        assert model.weights_.sum() == pytest.approx(1)
    assert n_refused > N_MUTATIONS / 6 / 2


@pytest.mark.parametrize("ending", [".npy", ".csv", ".tsv", ".parquet", ".arrow"])
def test_data(ending: str, X: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / f"data{ending}"
    if ending == ".arrow":
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.table({"x": X[:, 0], "y": X[:, 1]})
        with (
            pyarrow.OSFile(str(path), "wb") as file,
            pyarrow.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
    else:
        if ending == ".parquet":
            pytest.importorskip("pyarrow")
        write(path, [X], ["x", "y"])
    n_refused = 0
    for _ in mutations(path, mutated):
        try:
            table = read_all(scan(path))
        except (DataError, OSError) as error:
            assert str(path) in str(error)  # noqa: PT017
            assert "allow_pickle" not in str(error)  # noqa: PT017
            n_refused += 1
            continue
        assert table.rows.dtype.kind == "f"
        assert table.columns is None or len(table.columns) == table.rows.shape[1]
    assert n_refused > 0
