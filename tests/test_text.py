"""Text files as they come: indices, quotes, delimiters, decimal commas, marks, compression."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import DataError, GaussianMixture, ParameterError, scan
from gaussmix.io import text as text_module
from gaussmix.io.scans import read_all
from gaussmix.io.text import ends_inside, split


def file(folder: Path, content: str, name: str = "data.csv") -> Path:
    (folder / name).write_bytes(content.encode())
    return folder / name


def rows(path: Any, **options: Any) -> NDArray[Any]:
    return read_all(scan(path, **options)).rows


def test_columns_that_are_not_asked_for(tmp_path: Path) -> None:
    """They need no name, no unique name and no numbers."""
    path = file(tmp_path, ",x,note,note,y\n0,1,a,b,2\n1,3,c,d,4\n")
    assert scan(path, columns=["x", "y"]).columns == ("x", "y")
    np.testing.assert_array_equal(rows(path, columns=["y", "x"]), [[2, 1], [4, 3]])
    with pytest.raises(DataError, match=r"column 1: .* no name; .* --columns x,y, if it is a row"):
        scan(path)
    with pytest.raises(ParameterError, match=r"2 columns named 'note'; choose one .* its number"):
        scan(path, columns="note")
    with pytest.raises(DataError, match=r"column 4: the name 'note' occurs twice"):
        scan(path, columns=[1, 3])


def test_an_index_of_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    X = np.random.default_rng(0).normal(size=(9, 3))
    pandas.DataFrame(X).to_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"the column has no name.*--columns 0,1,2"):
        scan(tmp_path / "a.csv")
    np.testing.assert_array_equal(rows(tmp_path / "a.csv", columns=["0", "1", "2"]), X)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ends_of_lines_in_quotes(tmp_path: Path, end: str) -> None:
    lines = ["x,note,y", '1,"first', "", ' and ""last""",2', '3,"a, b",4', '"5",6" pipe,?']
    path = file(tmp_path, end.join(lines) + end)
    source = scan(path, columns=["x", "y"])
    with pytest.raises(DataError, match=r"line 6, column 3 \(y\): .* got '\?'"):
        list(source.blocks())
    path = file(tmp_path, end.join(lines).replace("?", "6"))
    np.testing.assert_array_equal(rows(path, columns=["x", "y"]), [[1, 2], [3, 4], [5, 6]])
    path = file(tmp_path, '"x\n1",y\n1,2\n')
    assert scan(path).columns == ("x\n1", "y")


def test_long_fields(tmp_path: Path) -> None:
    """Longer than the limit of Python's own reader."""
    path = file(tmp_path, 'x,note\n1,"' + "a\n" * 200_000 + '"\n2,b\n')
    np.testing.assert_array_equal(rows(path, columns="x"), [[1], [2]])


def test_a_quote_that_is_never_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MOST_RECORD", 100)
    path = file(tmp_path, "x,y\n" + "1,2\n" * 9 + '3,"4\n' + "5,6\n" * 99)
    with pytest.raises(DataError, match=r"line 11: a quote is opened and not closed .* 100 char"):
        list(scan(path).blocks())


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found(tmp_path: Path, delimiter: str) -> None:
    path = file(tmp_path, 'a|b|"c d"\n1.5|2|3\n4||NA\n'.replace("|", delimiter))
    np.testing.assert_array_equal(rows(path), [[1.5, 2, 3], [4, np.nan, np.nan]])
    assert scan(path).columns == ("a", "b", "c d")


def test_delimiters_and_decimal_marks_that_are_said(tmp_path: Path) -> None:
    path = file(tmp_path, "1,5;2\n-3,25;1e3\n")
    np.testing.assert_array_equal(rows(path, decimal=","), [[1.5, 2], [-3.25, 1000]])
    with pytest.raises(DataError, match=r"got '5;2'; comma-separated .* \(--delimiter, --decimal"):
        rows(path)
    path = file(tmp_path, "1;1.234\n")
    with pytest.raises(DataError, match=r"column 2: a finite number is wanted, got '1\.234'"):
        rows(path, decimal=",")
    path = file(tmp_path, "1 2\n3 4\n")
    np.testing.assert_array_equal(rows(path, delimiter=" "), [[1, 2], [3, 4]])


def test_marks_of_missing_values(tmp_path: Path) -> None:
    path = file(tmp_path, 'x,y,z\n1,NA,"N/A"\n, null ,"a,NA,""b"""\n"",NaN,-7\n?,2,\n')
    nan = np.nan
    found = rows(path, columns=["x", "y"], missing=["", "NA", "null", "?"])
    np.testing.assert_array_equal(found, [[1, nan], [nan, nan], [nan, nan], [nan, 2]])
    with pytest.raises(DataError, match=r"line 5, column 1 \(x\): .* got '\?'"):
        rows(path, columns="x")
    with pytest.raises(DataError, match=r"line 3, column 1 \(x\): .* got ''"):
        rows(path, columns="x", missing=())
    path = file(tmp_path, "NA,\n1,2\n")  # no header: nothing in it is a name
    np.testing.assert_array_equal(rows(path), [[nan, nan], [1, 2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ",,"}, "delimiter must be one character .* got ',,'"),
        ({"delimiter": "1"}, "delimiter must be one character that is no part of a number"),
        ({"decimal": "x"}, "decimal must be '.' or ',', got 'x'"),
        ({"delimiter": ",", "decimal": ","}, "delimiter and decimal must differ"),
        ({"missing": [1]}, r"missing must be strings, got \[1\]"),
    ],
)
def test_formats_that_cannot_be(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        scan(file(tmp_path, "1,2\n"), **options)
    with pytest.raises(ParameterError, match=r"are for text files .*, but data is a ndarray"):
        scan(np.eye(2), delimiter=";")


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def compressed(folder: Path, ending: str, content: bytes) -> Path:
    path = folder / f"data.csv{ending}"
    if ending == ".zst":
        pyarrow = pytest.importorskip("pyarrow")
        path.write_bytes(pyarrow.compress(content, "zstd", asbytes=True))
    else:
        path.write_bytes(COMPRESS[ending](content))
    return path


@pytest.mark.parametrize("ending", [*COMPRESS, ".zst"])
def test_compressed_files(tmp_path: Path, ending: str) -> None:
    X = np.random.default_rng(0).normal(size=(3000, 2))
    np.savetxt(tmp_path / "plain.csv", X, delimiter=",", header="a,b", comments="", fmt="%.17g")
    path = compressed(tmp_path, ending, (tmp_path / "plain.csv").read_bytes())
    np.testing.assert_array_equal(rows(path), X)
    assert GaussianMixture(2, random_state=0).fit(path).feature_names_in_.tolist() == ["a", "b"]
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"not compressed", whole[:-30] + b"x" * 30):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"data.csv{ending}"):
            list(scan(path).blocks())


def test_fields() -> None:
    for record, expected in {
        "": [""],
        ",": ["", ""],
        ',"a""b",c"d\r\n': ["", 'a"b', 'c"d'],
        '"a"b,"",': ["ab", "", ""],
    }.items():
        assert split(record, ",") == expected
    assert split('1;"2;3"', ";") == ["1", "2;3"]


@pytest.mark.parametrize(
    ("line", "inside", "after"),
    [
        ('1,"a', False, True),
        ('1,"a""b', False, True),
        ('1,"a""",2', False, False),
        ('5" pipe,2', False, False),
        ('a"", b', True, True),
        ('a",b', True, False),
        ('a","b', True, True),
        ('a"","b', True, False),
    ],
)
def test_lines_within_quotes(line: str, inside: bool, after: bool) -> None:
    assert ends_inside(line, inside, ",") == after
