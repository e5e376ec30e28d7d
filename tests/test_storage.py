"""Models in files, and files written whole or not at all."""

import io
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import (
    GaussianMixture,
    KMeans,
    ModelFileError,
    NotFittedError,
    ParameterError,
    load,
    save,
)
from gaussmix._core.types import FloatArray, Structure
from gaussmix.io.atomic import replacing

STRUCTURES = ("full", "tied", "diag", "spherical")


@pytest.fixture(scope="module")
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 3)) + 6 * rng.integers(3, size=(300, 1))


@pytest.fixture
def saved(X: FloatArray, tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    save(GaussianMixture(3, random_state=0).fit(X), path)
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a model file; None removes one."""
    with np.load(path) as archive:
        entries = {**archive, **changes}
    np.savez(path, **{name: value for name, value in entries.items() if value is not None})


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mixture_round_trip_is_bit_for_bit(
    X: FloatArray, tmp_path: Path, structure: Structure, dtype: type[np.floating]
) -> None:
    rows = X.astype(dtype)
    model = GaussianMixture(3, covariance_type=structure, random_state=0).fit(rows)
    save(model, tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert isinstance(back, GaussianMixture)
    assert vars(back).keys() == vars(model).keys()
    assert back.get_params() == model.get_params()
    np.testing.assert_array_equal(back.predict_proba(rows), model.predict_proba(rows))
    np.testing.assert_array_equal(back.score_samples(rows), model.score_samples(rows))
    np.testing.assert_array_equal(back.precisions_, model.precisions_)
    assert (back.n_iter_, back.converged_) == (model.n_iter_, model.converged_)
    assert back.lower_bounds_ == model.lower_bounds_


def test_kmeans_round_trip(X: FloatArray, tmp_path: Path) -> None:
    model = KMeans(4, random_state=0).fit(X)
    save(model, tmp_path / "k.npz")
    back = load(tmp_path / "k.npz")
    assert isinstance(back, KMeans)
    assert vars(model).keys() - vars(back).keys() == {"labels_"}
    np.testing.assert_array_equal(back.transform(X), model.transform(X))
    assert list(back.get_feature_names_out()) == list(model.get_feature_names_out())


def test_the_class_that_is_wanted(saved: Path, X: FloatArray, tmp_path: Path) -> None:
    mixture = load(saved, GaussianMixture)
    assert np.array_equal(mixture.predict(X), load(saved, kind=GaussianMixture).predict(X))
    path = tmp_path / "kmeans.npz"
    save(KMeans(2, random_state=0).fit(X), path)
    assert load(path, KMeans).cluster_centers_.shape == (2, X.shape[1])
    with pytest.raises(ModelFileError, match=r"kmeans\.npz: a GaussianMixture is wanted, got a KM"):
        load(path, GaussianMixture)
    with pytest.raises(ModelFileError, match=r"a KMeans is wanted, got a GaussianMixture"):
        load(saved, kind=KMeans)
    kind: Any
    for kind in (int, "KMeans", mixture):
        with pytest.raises(ParameterError, match="kind must be GaussianMixture or KMeans, got"):
            load(saved, kind)


def test_feature_names_survive(X: FloatArray, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["länge", "b", "c"])
    save(GaussianMixture(2, random_state=0).fit(frame), tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert list(back.feature_names_in_) == ["länge", "b", "c"]
    with pytest.raises(ValueError, match="order"):
        back.predict(frame[["b", "länge", "c"]])


def test_from_parameters_needs_no_history(tmp_path: Path) -> None:
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [5.0]], [1.0, 2.0], "spherical")
    save(model, tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert isinstance(back, GaussianMixture)
    np.testing.assert_array_equal(
        back.predict_proba([[1.0], [3.0]]),
        model.predict_proba([[1.0], [3.0]]),
    )


def test_array_parameters_are_kept_and_generators_are_not(X: FloatArray, tmp_path: Path) -> None:
    generator = np.random.RandomState(0)
    model = GaussianMixture(2, means_init=X[:2], random_state=generator).fit(X)
    save(model, tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert isinstance(back, GaussianMixture)
    np.testing.assert_array_equal(back.means_init, X[:2])
    assert back.random_state is None


def test_save_refuses(X: FloatArray, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        save(GaussianMixture(), tmp_path / "m.npz")
    with pytest.raises(TypeError, match="GaussianMixture or KMeans, got dict"):
        save({}, tmp_path / "m.npz")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"m\.csv: .* must end in \.npz, got '\.csv'"):
        save(GaussianMixture().fit(X), tmp_path / "m.csv")
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(ValueError, match=r"must end in \.npz, got no ending"):
        save(GaussianMixture().fit(X), tmp_path / ".npz")
    with pytest.raises(ValueError, match="max_iter must be an integer"):
        save(GaussianMixture().fit(X).set_params(max_iter=-1), tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 5, b"m.npz"])
def test_a_path_that_is_none(path: Any, X: FloatArray) -> None:
    with pytest.raises(TypeError, match=f"path must be a str or path-like, got {path!r}"):
        load(path)
    with pytest.raises(TypeError, match=f"path must be a str or path-like, got {path!r}"):
        save(GaussianMixture().fit(X), path)


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_cut_short(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match="not a gaussmix model, or one that was cut short"):
        load(saved)


def test_flipped_bit(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        data[archive.getinfo("means_.npy").header_offset + 200] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ModelFileError, match="damaged"):
        load(saved)


def test_damage_never_raises_anything_else(saved: Path, X: FloatArray) -> None:
    whole, predicted = saved.read_bytes(), load(saved).predict(X)
    rng = random.Random(0)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4])):
            damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        saved.write_bytes(damaged[: rng.choice([len(whole), rng.randrange(len(whole))])])
        try:
            model = load(saved)
        except ModelFileError as error:
            assert str(error).startswith(f"{saved}: ")  # noqa: PT017
        else:  # a byte that means nothing, such as of a date
            np.testing.assert_array_equal(model.predict(X), predicted)


def with_member(path: Path, name: str, content: bytes) -> None:
    """Put other bytes in the place of a member of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in members.items():
            if member != "means_.npy":
                archive.writestr(member, old)
        archive.writestr(name, content)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("means_", ""),
        ("means_.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (3, {"),
        ("means_.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000, 99), }"),
        ("means_.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 30 + ",), }"),
    ],
)
def test_members_that_are_no_arrays(saved: Path, name: str, header: str) -> None:
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with_member(saved, name, magic + header.encode() + bytes(72) if header else b"3")
    with pytest.raises(ModelFileError, match=str(saved)):
        load(saved)


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, means=np.zeros(3))
    with pytest.raises(ModelFileError, match="written by something else"):
        load(path)
    path.write_text("hello")
    with pytest.raises(ModelFileError, match="not a gaussmix model"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.npz")


def test_newer_version_says_what_to_do(saved: Path) -> None:
    rewrite(saved, format_version=2, gaussmix_version="9.1")
    with pytest.raises(ModelFileError, match=r"version 2, written by gaussmix 9\.1.*upgrade"):
        load(saved)


def test_pickled_entry_is_never_run(saved: Path) -> None:
    rewrite(saved, means_=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelFileError, match="allow_pickle"):
        load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights_": np.array([0.5, 0.5])}, "weights"),
        ({"weights_": np.array([0.5, 0.6, 0.1])}, "normalized"),
        ({"means_": np.full((3, 3), np.nan)}, "NaN"),
        ({"means_": np.zeros(3)}, r"means_ must have 3 rows of features, got shape \(3,\)"),
        ({"covariances_": np.zeros((3, 3, 3))}, "positive-definite"),
        ({"covariances_": np.zeros((3, 2, 2))}, "shape"),
        ({"precisions_cholesky_": np.zeros((3, 3, 3))}, "positive diagonal"),
        ({"precisions_cholesky_": np.zeros((3, 3))}, "precisions_cholesky_ must have shape"),
        ({"precisions_cholesky_": np.zeros((3, 3, 3), "f4")}, "precisions_cholesky_ must be float"),
        ({"means_": np.full((3, 3), "1")}, "means_ must be float64, got <U1"),
        ({"means_": np.ones((3, 3), complex)}, "means_ must be float64, got complex128"),
        ({"covariances_": np.full((3, 3, 3), "1")}, "covariances_ must be float64, got <U1"),
        ({"weights_": np.array(["1", "0", "0"])}, "weights_ must be float64, got <U1"),
        ({"n_iter_": "x"}, "n_iter_ has the wrong type: <U1"),
        ({"converged_": 1.0}, "converged_ has the wrong type: float64"),
        ({"lower_bounds_": 1.0}, "lower_bounds_ has the wrong type"),
        ({"feature_names_in_": np.arange(3)}, "feature_names_in_ must be text"),
        ({"format_version": np.inf}, "infinity"),
        ({"params": "[" * 100_000}, "damaged"),
        ({"params": "[1]"}, "mapping"),
        ({"params": json.dumps({"n_components": "x"})}, "n_components must be an integer"),
        ({"params": json.dumps({"n_components": 5})}, "means_ must have 5 rows"),
        ({"params": json.dumps({"n_components": 3, "n_threads": -1})}, "n_threads must be"),
        ({"feature_names_in_": np.array(["a"])}, "1 feature names for 3"),
        ({"class": "Forest"}, "class must be one of GaussianMixture, KMeans, got 'Forest'"),
        ({"covariances_": None}, "lacks 'covariances_'"),
        ({"params": "{"}, "Expecting property name"),
        ({"params": json.dumps({"n_trees": 3})}, "n_trees"),
        ({"params": json.dumps({"covariance_type": "cubic"})}, "cubic"),
    ],
)
def test_unsound_contents(saved: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        load(saved)
    assert str(saved) in str(caught.value)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_the_target(tmp_path: Path) -> None:
    def written(path: Path) -> None:
        with replacing(path) as file:
            file.write(b"new")

    path = tmp_path / "missing" / "a"
    with pytest.raises(FileNotFoundError, match="there is no folder") as caught:
        written(path)
    assert caught.value.filename == str(path)
    with pytest.raises(FileExistsError, match="is a folder"):
        written(tmp_path)
    with pytest.raises(OSError, match="disk is full") as full, replacing(tmp_path / "a"):
        raise OSError(28, "the disk is full")
    assert full.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="names, pipes and permissions of POSIX")
def test_long_names_pipes_and_permissions(tmp_path: Path) -> None:
    path, pipe = tmp_path / ("n" * 250), tmp_path / "pipe"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="is a folder, a pipe or a device"):
        replacing(pipe).__enter__()
    assert pipe.is_fifo()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="is not writable"):
        replacing(tmp_path / "a").__enter__()


def test_write_follows_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replacing(link) as file:
        assert isinstance(file, io.BufferedWriter)
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0], "spherical")
    with pytest.raises(ValueError, match="means_ must have 5 rows"):
        save(model.set_params(n_components=5), tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []
