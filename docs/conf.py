"""The site: `sphinx-build -W docs build/site`. Its pages are those of the repository."""

import re
import warnings
from typing import Any

import gaussmix

project = "gaussmix"
author = "the gaussmix developers"
copyright = f"2026, {author}"  # noqa: A001, Sphinx's name
version = release = gaussmix.__version__
HOME = "https://github.com/gaussmix/gaussmix"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["examples", "**/README.rst", "gallery/**/*.ipynb"]
html_theme = "furo"
html_title = "gaussmix"
html_theme_options = {
    "source_repository": HOME,
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sourcelink = False

# Markdown as in the repository
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["myst.strikethrough"]

# API pages from docstrings
autosummary_generate = True
autodoc_default_options = {"inherited-members": True}
autodoc_typehints = "none"  # the docstrings say it in words
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False
# Without the network the site builds all the same: its own pages are what -W checks.
intersphinx_mapping: dict[str, Any] = {}

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "copyfile_regex": r".*\.rst",
    "plot_gallery": True,
}
warnings.filterwarnings("ignore", "Matplotlib is currently using agg", UserWarning)

LIST = re.compile(r"^(?P<caption>[A-Z][^\n]*):\n\n(?P<items>(?:- .*\n)+)", flags=re.M)
ELSEWHERE = re.compile(r"\]\(\.\./(?P<path>[^)]*)\)")  # files of the repository that are no pages


def _as_site(app: Any, name: str, source: list[str]) -> None:  # noqa: ARG001, Sphinx's signature
    """Turn what only a repository understands into what a site does.

    The lists of the first page become the table of contents. Links to the repository's files lead
    to where it is shown.
    """
    text = ELSEWHERE.sub(rf"]({HOME}/blob/main/\g<path>)", source[0])
    text = text.replace("(examples/README.rst)", "(gallery/index.rst)")
    if name == "index":
        trees = [
            f"```{{toctree}}\n:hidden:\n:caption: {found['caption']}\n\n"
            + "\n".join(
                re.findall(r"^- .*?\]\(([\w/-]+)(?:\.md|\.rst)[#)]", found["items"], flags=re.M)
            )
            + "\n```"
            for found in LIST.finditer(text)
        ]
        text = "\n\n".join([text, *trees])
    source[0] = text


def setup(app: Any) -> None:
    """Register what is above."""
    app.connect("source-read", _as_site)
