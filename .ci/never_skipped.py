"""Fail if a test was skipped in every one of the JUnit files given, so that no job ran it.

Usage: python .ci/never_skipped.py FILE_OR_FOLDER ...
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree


def junit_files(names: list[str]) -> Iterator[Path]:
    """The files given, and those in the folders given."""
    for path in map(Path, names):
        if path.is_dir():
            yield from sorted(path.rglob("*.xml"))
        else:
            yield path


def outcomes(path: Path) -> Iterator[tuple[str, bool]]:
    """Name of every test in the file, and whether it was skipped."""
    for case in ElementTree.parse(path).iter("testcase"):
        skipped = case.find("skipped")
        # a test that failed as expected is also noted as skipped, with another type
        was_skipped = skipped is not None and skipped.get("type") != "pytest.xfail"
        yield f"{case.get('classname')}::{case.get('name')}", was_skipped


def skipped_everywhere(paths: list[Path]) -> list[str]:
    """Names of the tests that no run of these ran and at least one skipped."""
    ran: set[str] = set()
    skipped: set[str] = set()
    for path in paths:
        for name, was_skipped in outcomes(path):
            (skipped if was_skipped else ran).add(name)
    # A module that was skipped whole stands in its file as one case without a class; elsewhere
    # its tests stand there one by one.
    modules = {name.split("::")[0] for name in ran}
    return sorted(name for name in skipped - ran if name.removeprefix("::") not in modules)


def main() -> int:
    """Print the tests that never ran; return 1 if there are any."""
    paths = list(junit_files(sys.argv[1:]))
    if not paths:
        print("no JUnit file was given", file=sys.stderr)
        return 2
    names = skipped_everywhere(paths)
    for name in names:
        print(f"skipped in each of {len(paths)} runs: {name}")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
