"""`python -m benchmarks` runs the benchmark beside all rivals that are installed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import suite

USAGE_ERROR = 2  # argparse's
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time gaussmix beside all rivals that are installed, and check every answer.",
    )
    add = parser.add_argument
    add("--full", action="store_true", help="all sizes, one thread and all, and the targets")
    add("--only", metavar="REGEX", help="only what has this in its name, as 'S2' or 'efficiency'")
    add("-o", "--output", type=Path, metavar="FOLDER", help="for JSON, Markdown and pictures")
    text = "keep what the folder has, and measure the rest, and what was not resolved"
    add("--resume", action="store_true", help=text)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; what cannot be done is one line."""
    arguments = parser().parse_args(argv)
    try:
        return suite.main(arguments.full, arguments.only, arguments.output, arguments.resume)
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError) as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
