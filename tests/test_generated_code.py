"""The C that Cython makes of the kernels: no Python in what runs for every row."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[1] / "src/gaussmix/_core"
PIECES = (
    "layout", "packing", "log_density", "gaps", "patterns", "told", "posterior", "moments",
    "vector_math", "screen", "triangles",
)  # fmt: skip
PARTS = (
    "blocks.pxi",
    "gaps.pxi",
    "nearest.pxi",
    "waves.pxi",
    "windows.pxi",
    "seeding.pxi",
    "cells.pxi",
)  # of kernels.pyx, those with loops

# Anything of Python's or Cython's runtime but names of types, constants and functions of our own.
RUNTIME = re.compile(r"\b(?:__Pyx_\w+|Py[A-Z]\w*|_Py\w+|Py_(?!ssize_t)\w+)\b")
FUNCTION = re.compile(
    r"^static [^;{}]*?\b__pyx_f_8gaussmix_5_core_\d+(\w+?)\([^;{}]*\) \{$(.*?)^\}$", re.M | re.S
)


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """C bodies of the `cdef` functions, by the names `module_function`."""
    pytest.importorskip("Cython")
    if not (CORE / "kernels.pyx").exists():
        pytest.skip("no sources beside the tests")
    output = tmp_path_factory.mktemp("cython") / "kernels.c"
    directives = re.findall(r"'(-X\w+=\w+)'", (CORE / "meson.build").read_text())
    assert directives
    command = [sys.executable, "-m", "cython", "-I", str(CORE.parents[1]), *directives]
    command += ["--module-name", "gaussmix._core.kernels", str(CORE / "kernels.pyx")]
    subprocess.run([*command, "-o", str(output)], check=True, timeout=120)
    code = re.sub(r"/\*.*?\*/", "", output.read_text(), flags=re.S)
    return dict(FUNCTION.findall(code))


def declared(name: str) -> list[str]:
    """The functions that a file declares `noexcept nogil`, by the names `module_function`."""
    source = re.sub(r"#.*", "", (CORE / name).read_text())
    module = "kernels" if name in PARTS else name.partition(".")[0]
    pattern = r"^cdef (?:inline )?[\w *]+[ *](\w+)\([^)]*\) noexcept nogil:"
    return [f"{module}_{function}" for function in re.findall(pattern, source, re.M)]


@pytest.mark.parametrize("name", [f"{piece}.pxd" for piece in PIECES])
def test_every_inline_piece_can_neither_raise_nor_take_the_lock(name: str) -> None:
    if not (CORE / name).exists():
        pytest.skip("no sources beside the tests")
    everything = re.findall(r"^cdef inline", (CORE / name).read_text(), re.M)
    assert len(declared(name)) == len(everything) > 0


def test_every_part_of_the_kernels_is_one_of_these() -> None:
    if not (CORE / "kernels.pyx").exists():
        pytest.skip("no sources beside the tests")
    included = re.findall(r'^include "(\S+)"$', (CORE / "kernels.pyx").read_text(), re.M)
    assert sorted(included) == sorted(path.name for path in CORE.glob("*.pxi"))
    assert set(PARTS) == {
        name for name in included if "noexcept nogil:" in (CORE / name).read_text()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(f"{piece}.pxd" for piece in PIECES), *PARTS])
def test_no_python_hides_in_the_hot_loops(name: str, functions: dict[str, str]) -> None:
    checked = declared(name)
    assert checked
    for function in checked:
        assert RUNTIME.findall(functions[function]) == [], function


def test_python_would_be_found(functions: dict[str, str]) -> None:
    assert RUNTIME.findall(functions["kernels_run"])
