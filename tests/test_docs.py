"""The code of README.md and of docs/ runs as written, and prints what the pages say."""

import ast
import doctest
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

import gaussmix

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))) if path.is_file()]
if not (ROOT / "docs").is_dir():
    pytest.skip("no docs beside the tests", allow_module_level=True)

# CONTRIBUTING.md, "Code in the docs", says what the markers mean.
ONE_SESSION = "<!-- one session -->"
MARKERS = {"fragment", "slow", "needs"}
BLOCK = re.compile(
    r"(?P<markers>(?:^<!-- [^\n]* -->\n)*)"
    r"^```python\n(?P<code>.*?)^```$"
    r"(?:\n+^```text\n(?P<output>.*?)^```$)?",
    flags=re.M | re.S,
)
END = "-- end of block --"
TIMEOUT = 300  # seconds: the slowest takes some 10 on two idle cores
PORT_IN_USE = "ignore:Port:UserWarning"  # another cluster on the machine has Dask's dashboard
NORMALISED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A block of Python in a page."""

    line: int
    markers: dict[str, list[str]]  # name -> arguments
    code: str
    output: str | None  # of the text block that follows


class Session(NamedTuple):
    """Blocks that run one after the other in one interpreter and one folder."""

    page: str
    blocks: tuple[Block, ...]

    @property
    def slow(self) -> bool:
        return any("slow" in block.markers for block in self.blocks)

    @property
    def needs(self) -> set[str]:
        """Modules without which the blocks cannot run."""
        return {
            name
            for block in self.blocks
            for name in [*block.markers.get("needs", []), *imported(block.code)]
        }


def imported(code: str) -> Iterator[str]:
    """Names of the packages that the code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def blocks_of(text: str) -> Iterator[Block]:
    for match in BLOCK.finditer(text):
        comments = re.findall(r"^<!-- (.*) -->$", match["markers"], flags=re.M)
        markers = {name: arguments for name, *arguments in map(str.split, comments)}
        line = text.count("\n", 0, match.start("code"))
        yield Block(line, markers, match["code"], match["output"])


def sessions_of(page: Path) -> Iterator[Session]:
    text = page.read_text(encoding="utf-8")
    blocks = tuple(block for block in blocks_of(text) if "fragment" not in block.markers)
    if ONE_SESSION in text:
        yield Session(page.name, blocks)
    else:
        yield from (Session(page.name, (block,)) for block in blocks)


def parameters() -> Iterator[object]:
    for page in PAGES:
        for session in sessions_of(page):
            marks = [pytest.mark.slow] if session.slow else []
            name = f"{session.page}:{session.blocks[0].line}"
            yield pytest.param(session, id=name, marks=marks)


@pytest.mark.parametrize("session", list(parameters()))
def test_code_runs_and_prints_what_the_page_says(session: Session, tmp_path: Path) -> None:
    for name in sorted(session.needs):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    if any("tests/data" in block.code for block in session.blocks):
        shutil.copytree(ROOT / "tests" / "data", tmp_path / "tests" / "data")
    script = tmp_path / "script.py"
    # the workers of a Dask cluster import the script too, and must not print
    end = f"if __name__ == '__main__':\n    print({END!r})\n"
    parts = [f"{block.code}\n{end}" for block in session.blocks]
    script.write_text("".join(parts), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-W", PORT_IN_USE, script.name],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
    )
    assert result.returncode == 0, result.stderr
    printed = result.stdout.split(f"{END}\n")
    for block, got in zip(session.blocks, printed, strict=False):
        if block.output is not None:
            right = doctest.OutputChecker().check_output(block.output, got, NORMALISED)
            assert right, f"{session.page}, line {block.line} prints\n{got}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_block_and_marker_is_known(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = list(blocks_of(text))
    assert len(blocks) == len(re.findall(r"^```python", text, flags=re.M))
    for block in blocks:
        assert block.markers.keys() <= MARKERS, f"{page.name}, line {block.line}"


def test_an_output_that_differs_is_seen() -> None:
    page = "<!-- needs numpy -->\n```python\nprint(1)\n```\n\n```text\n2 ...\n```\n"
    (block,) = blocks_of(page)
    assert block == Block(2, {"needs": ["numpy"]}, "print(1)\n", "2 ...\n")
    assert not doctest.OutputChecker().check_output("2 ...\n", "1\n", NORMALISED)


PUBLIC = re.findall(
    r"^\| `(gaussmix\.[a-z_.]+)` \| (.*) \|$",
    (ROOT / "docs" / "api.md").read_text(encoding="utf-8"),
    flags=re.M,
)


@pytest.mark.parametrize(("module", "text"), PUBLIC, ids=[module for module, _ in PUBLIC])
def test_public_modules_have_what_the_page_names(module: str, text: str) -> None:
    names = re.findall(r"`([A-Za-z_]+)`", text)
    assert names
    for name in names:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def signatures() -> Iterator[tuple[str, str]]:
    """Calls of public names that begin a line of the page, with their arguments."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    calls = re.findall(r"^`(\w+)\(([^`]*)\)`", text, flags=re.M)
    yield from ((name, arguments) for name, arguments in calls if name in gaussmix.__all__)


@pytest.mark.parametrize(("name", "arguments"), list(signatures()))
def test_signatures_are_those_of_the_code(name: str, arguments: str) -> None:
    call = ast.parse(f"def f({arguments}): pass").body[0]
    assert isinstance(call, ast.FunctionDef)
    written = [*call.args.args, *call.args.kwonlyargs]
    parameters = inspect.signature(getattr(gaussmix, name)).parameters.values()
    wanted = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    assert [each.arg for each in written] == wanted


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_pictures_say_what_they_show_and_have_a_dark_twin(page: Path) -> None:
    shown = re.findall(r"!\[([^\]]*)\]\((?!https?:)([^)\s]+)\.png\)", page.read_text("utf-8"))
    for text, name in shown:
        assert text
        assert (page.parent / f"{name}-dark.png").is_file(), f"{page.name} shows {name}.png"
