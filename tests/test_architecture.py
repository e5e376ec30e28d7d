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

# A room imports only from rooms above it in this list, and a file only from files before it in its
# room. A new file must be given its place here. A few files stand beside the rooms.
ROOMS: dict[str, str] = {
    "_core": "types density told cells checks conjugate interface cpu threads margins "
    "reference_gaps plain_lloyd reference reference_estimates reference_bayesian dispatch",
    "errors": "",
    "config": "",
    "display": "progress tables",
    "io": "conversion blocks atomic headers archive readahead readers frames npy arrow text "
    "sources scans sinks kept_columns",
    "validation": "",
    "model": "covariance structures stacks volumes orientations families checks parameters "
    "eigenvalues stored gaps reach statistics moments prior scoring m_step adaptation",
    "data": "parallel subsample base scale box observed gaussian sparse streamed partitions dask "
    "dask_files told told_dask telling inputs",
    "bayes": "posterior prior m_step stored",
    "kmeans": "sparse nearest scoring lloyd seeding",
    "em": "verbose fingerprint coordinates mixed_precision loop compiled objective constrained "
    "penalised acceleration incremental listed truncated online variational runs trials stored "
    "checkpoint",
    "starts": "ward emem budget race views candidates splits insertions auto completion methods "
    "seeded noisy",
    "plotting": "backend colors views shapes subjects plane line pairs mixtures curves tree "
    "comparison",
    "queries": "features grouped grouped_dask conditioning imputation univariate sampling "
    "predictive hdr outliers divergences moment_matching merging hierarchy",
    "estimators": "attributes routing counterparts summaries base diagnostics criteria adaptation "
    "pictures hooks regression queries kmeans settings fitting base_mixture online mixture "
    "evidence bayesian columns",
    "storage": "",
    "selection": "candidates degenerate search",
    "distributed": "",
    "patch": "classes __main__",
    "bench": "machine timing cases contenders race scikit_learn table run",
    "cli": "demo kernel_cases verification reading commands answers parser signals running main",
    "__init__": "",
    "__main__": "",
}
PLACES = {
    (room, name): (number, place)
    for number, (room, names) in enumerate(ROOMS.items())
    for place, name in enumerate(["__init__", *names.split()])
}
APART = (("queries", "em"),)  # rooms of which neither imports the other
LEAVES = list(ROOMS).index("storage")
FOREIGN = {
    ("io", "arrow"),
    ("data", "partitions"),
    ("data", "dask_files"),
    ("plotting", "backend"),
    ("estimators", "routing"),
    ("distributed", "__init__"),
    ("display", "progress"),
}
"""The files below the leaves that are there for an optional dependency's sake."""
OPTIONAL = {
    "dask",
    "distributed",
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "sklearn",
    "threadpoolctl",
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
        # `from gaussmix import em` names a module, `from gaussmix.em.loop import em` a thing in it
        yield from (
            Import(f"{node.module}.{alias.name}", function, for_types) for alias in node.names
        )
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    for_types = for_types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, function, for_types)


def place_of(path: Path) -> tuple[str, str]:
    """The room and the file, as in PLACES."""
    *room, name = path.relative_to(PACKAGE).with_suffix("").parts
    return (room[0], name) if room else (name, "__init__")


def target_place(target: str) -> tuple[str, str] | None:
    """The room and the file that an import points to; None if it leaves the package."""
    root, *rest = target.split(".")
    if root != "gaussmix":
        return None
    if not rest or rest[0] not in ROOMS:
        return "__init__", "__init__"
    within = rest[0], rest[1] if len(rest) > 1 else "__init__"
    return within if within in PLACES else (rest[0], "__init__")


SOURCE_TREE = Path(__file__).parents[1] / "src" / "gaussmix"
SOURCES = sorted(path for ending in ("*.py", "*.pyi") for path in PACKAGE.rglob(ending))
each_source = pytest.mark.parametrize(
    "path", SOURCES, ids=[str(path.relative_to(PACKAGE)) for path in SOURCES]
)


def test_the_build_installs_every_file() -> None:
    build = (SOURCE_TREE / "meson.build").read_text(encoding="utf-8")
    listed = {
        f"{room}/{name}".removeprefix("./")
        for room, names in re.findall(r"^  '(\S+)': \[$(.*?)^  \]", build, flags=re.M | re.S)
        for name in re.findall(r"'(\S+\.pyi?)'", names)
    }
    core = (SOURCE_TREE / "_core" / "meson.build").read_text(encoding="utf-8")
    listed |= {f"_core/{name}" for name in re.findall(r"^    '(\S+\.pyi?)',$", core, flags=re.M)}
    made_by_the_build = {"_core/build_info.py"}
    files = {
        path.relative_to(SOURCE_TREE).as_posix()
        for ending in ("*.py", "*.pyi")
        for path in SOURCE_TREE.rglob(ending)
    }
    assert listed == files - made_by_the_build


def test_the_wheel_has_no_suite_of_benchmarks() -> None:
    root = SOURCE_TREE.parents[1]
    builds = [root / "meson.build", *root.glob("src/**/meson.build")]
    code = [re.sub(r"#.*", "", path.read_text(encoding="utf-8")) for path in builds]
    assert not any("benchmarks" in text for text in code)
    folders = {name for text in code for name in re.findall(r"subdir\('([^']+)'\)", text)}
    assert folders == {"src/gaussmix", "_core"}


def test_the_command_alone_imports_what_it_times() -> None:
    importers = {
        place_of(path)[0]
        for path in SOURCES
        for found in imports(path)
        if (target_place(found.target) or "")[:1] == ("bench",)
    }
    assert importers == {"bench", "cli"}


@each_source
def test_every_file_has_its_place(path: Path) -> None:
    room, name = place_of(path)
    known = (room, name) in PLACES or path.name == "build_info.py"
    assert known, f"give {path.name} its place in ROOMS"


def test_no_room_names_a_file_that_is_gone() -> None:
    assert {place_of(path) for path in SOURCES} >= set(PLACES)


def test_rooms_hold_a_docstring_only() -> None:
    for path in PACKAGE.glob("*/__init__.py"):
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path


@each_source
def test_imports_point_up_the_list(path: Path) -> None:
    here = place_of(path)
    for found in imports(path):
        target = target_place(found.target)
        if target is None or path.name == "build_info.py" or target[0] == "_core" == here[0]:
            continue
        assert PLACES[target] < PLACES[here], f"{'.'.join(here)} imports {found.target}"


@pytest.mark.parametrize("pair", APART)
def test_rooms_that_stand_apart(pair: tuple[str, str]) -> None:
    for path in SOURCES:
        room = place_of(path)[0]
        if room in pair:
            others = {place[0] for found in imports(path) if (place := target_place(found.target))}
            assert not others & (set(pair) - {room}), path


def test_few_modules_stand_outside_of_rooms() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@each_source
def test_optional_dependencies_stay_in_functions_of_leaves(path: Path) -> None:
    place = place_of(path)
    if path.name == "build_info.py":
        return
    in_leaf = PLACES[place][0] >= LEAVES or place in FOREIGN
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
    code = f"import sys; from gaussmix import *; print(*sorted(sys.modules.keys() & {heavy!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout.split() == []
