"""The site: `sphinx-build -W docs build/site`. Its pages are those of the repository."""

import re
import warnings
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

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
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": HOME,
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sourcelink = False

# Names in single backticks are code, with a link where they are public.
default_role = "py:obj"

# Markdown as in the repository
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "dollarmath"]
suppress_warnings = ["myst.strikethrough"]

# API pages from docstrings
autosummary_generate = True
# Inherited members too, but not from these
autodoc_default_options = {"inherited-members": "AttributeError,BaseException,tuple"}
autodoc_typehints = "none"  # the docstrings say it in words
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False
# Without the network the site builds all the same: its own pages are what -W checks.
intersphinx_mapping: dict[str, Any] = {}

# `sphinx-build -b linkcheck`: GitHub's pages make their anchors by a script
linkcheck_anchors = False
linkcheck_retries = 2
linkcheck_timeout = 20

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "capture_repr": (),  # what is printed is the output
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "copyfile_regex": r".*\.rst",
    "plot_gallery": True,
}
warnings.filterwarnings("ignore", "Matplotlib is currently using agg", UserWarning)

DOCS = Path(__file__).parent
LIST = re.compile(r"^(?P<caption>[A-Z][^\n]*):\n\n(?P<items>(?:- .*\n)+)", flags=re.M)
ELSEWHERE = re.compile(r"\]\(\.\./(?P<path>[^)]*)\)")  # files of the repository that are no pages
PICTURE = re.compile(r"^(?P<alt>!\[[^\]]*\])\((?P<name>[\w-]+)\.png\)$", flags=re.M)


def _as_site(app: Any, name: str, source: list[str]) -> None:  # noqa: ARG001, Sphinx's signature
    """Turn what only a repository understands into what a site does.

    The lists of the first page become the table of contents. Links to the repository's files lead
    to where it is shown. A picture that has a dark twin gives way to it on a dark page.
    """
    text = ELSEWHERE.sub(rf"]({HOME}/blob/main/\g<path>)", source[0])
    text = PICTURE.sub(_with_twin, text)
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


def _with_twin(found: re.Match[str]) -> str:
    light, dark = f"{found['name']}.png", f"{found['name']}-dark.png"
    if not (DOCS / dark).exists():
        return found[0]
    return f"{found['alt']}({light}){{.only-light}}\n{found['alt']}({dark}){{.only-dark}}"


def _as_mathml(translator: Any, node: Any) -> None:
    """Write a formula as MathML, which browsers show without a script or another server."""
    block = isinstance(node, nodes.math_block)
    try:
        formula = latex2mathml.tex2mathml(node.astext().strip(), as_block=block)
        formula = formula.replace("<mo>&ApplyFunction;", '<mo rspace="0.17em">&ApplyFunction;')
    except MathError as error:
        logging.getLogger(__name__).warning("formula: %s", error, location=node)
        formula = translator.encode(node.astext())
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def _link_to_source(app: Any, name: str, template: str, context: Any, tree: Any) -> None:  # noqa: ARG001
    """Let links to a page's source lead to an example's script; the reference has none."""
    folder, _, page = name.partition("/")
    if folder == "gallery" and page != "index":
        path = f"docs/examples/{page}.py"
    elif folder == "gallery":
        path = "docs/examples/README.rst"
    elif folder == "reference" and page:
        context["page_source_suffix"] = ""
        return
    else:
        return
    context["theme_source_edit_link"] = f"{HOME}/edit/main/{path}"
    context["theme_source_view_link"] = f"{HOME}/blob/main/{path}?plain=true"


def setup(app: Any) -> None:
    """Register what is above."""
    app.connect("source-read", _as_site)
    app.connect("html-page-context", _link_to_source)
    app.add_html_math_renderer("mathml", (_as_mathml, None), (_as_mathml, None))
