"""What a release says about itself, in the places that a version or an address stands in."""

import re
import tomllib
from pathlib import Path

import pytest

import gaussmix

ROOT = Path(__file__).parents[1]
if not (ROOT / "CITATION.cff").is_file():
    pytest.skip("no repository around the tests", allow_module_level=True)

URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
PAGES = f"{URLS['Source']}/blob/main/"
PICTURES = URLS["Source"].replace("github.com", "raw.githubusercontent.com") + "/main/"


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_place_has_the_same_version() -> None:
    version = gaussmix.__version__
    assert f"\nversion: {version}\n" in text("CITATION.cff")
    assert f'\n  version: "{version}"\n' in text("conda/recipe.yaml")


def test_the_changelog_and_the_citation_have_the_same_date() -> None:
    dated = re.findall(
        r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", text("CHANGELOG.md"), flags=re.M
    )
    assert (
        gaussmix.__version__,
        re.findall(r"^date-released: (.*)$", text("CITATION.cff"), flags=re.M)[0],
    ) in dated


def test_the_readmes_links_work_on_a_package_index_too() -> None:
    """A package index shows the README alone: relative links would lead nowhere."""
    links = re.findall(r"(!?)\[[^]]*\]\(([^)]*)\)", text("README.md"))
    assert links
    for mark, link in links:
        home = PICTURES if mark else PAGES
        assert link.startswith(home), link
        assert (ROOT / link.removeprefix(home).partition("#")[0]).is_file(), link
