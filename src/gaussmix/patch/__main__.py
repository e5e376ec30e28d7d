"""`python -m gaussmix.patch script.py` runs a program with our classes in scikit-learn's places."""

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from gaussmix.patch.classes import patch_sklearn


def main(argv: Sequence[str] | None = None) -> None:
    """Run a script, or with ``-m`` a module, as Python would, after `patch_sklearn`."""
    parser = argparse.ArgumentParser(
        prog="python -m gaussmix.patch",
        usage="%(prog)s script.py [argument ...]\n       %(prog)s -m module [argument ...]",
        description="Run a program with gaussmix's classes in the places of scikit-learn's.",
    )
    parser.add_argument("-m", action="store_true", dest="is_module", help="run a module")
    parser.add_argument("program", help="a script, or the name of a module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the program is given")
    asked = parser.parse_args(argv)
    if not (asked.is_module or Path(asked.program).exists()):
        parser.error(f"there is no script {asked.program!r}")
    patch_sklearn()
    sys.argv = [asked.program, *asked.arguments]
    if asked.is_module:
        runpy.run_module(asked.program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(asked.program).resolve().parent)
        runpy.run_path(asked.program, run_name="__main__")


if __name__ == "__main__":
    main()
