"""Imports point one way, and optional dependencies stay in the leaves. Read from the source."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import gaussmix

PACKAGE = Path(gaussmix.__file__).parent

# A module imports only from floors above its own in this list; modules of one floor never import
# each other. A new file must be given its place here.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"_core"}),
    frozenset(
        {"atomic", "config", "errors", "nearest", "parallel", "parameters", "printing", "sampling"}
    ),
    frozenset({"agglomeration", "archive", "coordinates", "data", "divergences", "drawing"})
    | {"features", "fingerprint", "seeding", "statistics", "univariate", "validation"},
    frozenset(
        {"conditioning", "covariance", "distributed", "levels", "lloyd", "merging", "scoring"}
    )
    | {"readahead", "readers"},
    frozenset({"arrow", "frames", "npy", "text"}),
    frozenset({"sinks", "sources"}),
    frozenset({"streamed"}),
    frozenset({"em", "imputation", "inputs", "online"}),
    frozenset({"acceleration", "estimator", "incremental", "runs", "trials"}),
    frozenset({"checkpoint", "emem"}),
    frozenset({"hierarchy", "kmeans", "queries", "starts"}),
    frozenset({"mixture"}),
    frozenset({"cluster_files", "contenders", "demo", "machine", "plotting", "progress", "storage"})
    | {"timing", "verification"},
    frozenset({"bounds", "candidates", "efficiency", "from_files", "race", "rivals"}),
    frozenset({"selection", "targets"}),
    frozenset({"charts", "report"}),
    frozenset({"benchmark"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)
FLOOR = {module: number for number, floor in enumerate(FLOORS) for module in floor}
LEAVES = FLOOR["storage"]
FOREIGN = {"arrow", "distributed"}  # below the leaves: what is for another library's data
OPTIONAL = {
    "daal4py",
    "dask",
    "distributed",
    "gmmx",
    "jax",
    "matplotlib",
    "pandas",
    "polars",
    "pomegranate",
    "pyarrow",
    "sklearn",
    "threadpoolctl",
    "torch",
    "torchgmm",
    "tqdm",
}
REQUIRED = {"gaussmix", "numpy", "scipy"}
# scikit-learn's protocols, called by it or for what it was set to: tags, and output containers
HOOKS = {"__sklearn_tags__", "_wrapped"}


class Import(NamedTuple):
    """One imported module: its dotted name, the function around it, whether only for types."""

    target: str
    function: str | None
    for_types: bool


def imports(path: Path) -> Iterator[Import]:
    return _walk(ast.parse(path.read_text(encoding="utf-8")), None, False)


def _walk(node: ast.AST, function: str | None, for_types: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, function, for_types) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        # `from gaussmix import em` names a module, `from gaussmix.em import em` a thing in it
        yield from (
            Import(f"{node.module}.{alias.name}", function, for_types) for alias in node.names
        )
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    for_types = for_types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, function, for_types)


def module_of(path: Path) -> str:
    """The name in FLOORS: the file's, or that of the top folder it lies in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py").removesuffix(".pyi")


def target_module(target: str) -> str | None:
    """The name in FLOORS that an import points to; None if it leaves the package."""
    root, *rest = target.split(".")
    if root != "gaussmix":
        return None
    return rest[0] if rest and rest[0] in FLOOR else "__init__"


SOURCE_TREE = Path(__file__).parents[1] / "src" / "gaussmix"
SOURCES = sorted(path for ending in ("*.py", "*.pyi") for path in PACKAGE.rglob(ending))
each_source = pytest.mark.parametrize(
    "path", SOURCES, ids=[str(path.relative_to(PACKAGE)) for path in SOURCES]
)


@pytest.mark.parametrize("folder", [SOURCE_TREE, SOURCE_TREE / "_core"], ids=["gaussmix", "_core"])
def test_the_build_installs_every_file(folder: Path) -> None:
    build = (folder / "meson.build").read_text(encoding="utf-8")
    listed = set(re.findall(r"^    '(\S+\.pyi?)',$", build, flags=re.MULTILINE))
    made_by_the_build = {"build_info.py"}
    files = {path.name for path in folder.iterdir() if path.suffix in (".py", ".pyi")}
    assert listed == files - made_by_the_build


@each_source
def test_every_file_has_its_floor(path: Path) -> None:
    assert module_of(path) in FLOOR, f"give {path.name} its place in FLOORS"


def test_no_floor_names_a_file_that_is_gone() -> None:
    assert set(FLOOR) == {module_of(path) for path in SOURCES}


@each_source
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    for found in imports(path):
        target = target_module(found.target)
        if target is None or (module == target == "_core"):
            continue
        assert FLOOR[target] < FLOOR[module], f"{module} imports {found.target}"


@each_source
def test_optional_dependencies_stay_in_functions_of_leaves(path: Path) -> None:
    in_leaf = FLOOR[module_of(path)] >= LEAVES or module_of(path) in FOREIGN
    for found in imports(path):
        if found.target.split(".")[0] not in OPTIONAL or found.for_types:
            continue
        allowed = found.function in HOOKS or (in_leaf and found.function is not None)
        assert allowed, f"{path.name} imports {found.target}"


@each_source
def test_nothing_else_is_depended_on(path: Path) -> None:
    roots = {found.target.split(".")[0] for found in imports(path)}
    assert roots <= sys.stdlib_module_names | REQUIRED | OPTIONAL


def test_import_brings_only_numpy_and_scipys_linear_algebra() -> None:
    heavy = OPTIONAL | {"scipy.optimize", "scipy.sparse", "scipy.spatial", "scipy.stats"}
    code = f"import sys, gaussmix; print(*sorted(sys.modules.keys() & {heavy!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout.split() == []
