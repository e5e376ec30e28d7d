"""What a run of the benchmark found: a table on a terminal, in Markdown, and in JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from gaussmix.bench.machine import Ceilings
from gaussmix.bench.race import Row
from gaussmix.io.atomic import replacing

COLUMNS = {
    "case": 52,
    "library": 18,
    "isa": 11,
    "threads": 8,
    "time": 14,
    "+-": 6,
    "ratio": 8,
    "of gemm": 8,
    "memory": 8,
    "value": 15,
    "off by": 8,
    "correct": 8,
}
"""Headings, and widths in characters."""
JSON_FILE, MARKDOWN_FILE = "benchmark.json", "benchmark.md"


def line(texts: Iterable[str]) -> str:
    """Put a row's texts under the headings."""
    (first, width), *rest = zip(texts, COLUMNS.values(), strict=True)
    return f"{first:<{width}}" + "".join(f"{text:>{width}}" for text, width in rest)


def cells(row: Row) -> list[str]:
    """Return what stands under `COLUMNS` in a row."""
    rate = row.gflops / row.gemm_gflops if row.gflops and row.gemm_gflops else None
    return [
        str(row.case),
        row.library,
        row.isa,
        str(row.threads),
        _time(row.seconds),
        f"{row.uncertainty:.0%}" if isfinite(row.uncertainty) else "",
        f"{row.ratio:.2f}" if isfinite(row.ratio) else "",
        "" if rate is None or not isfinite(rate) else f"{rate:.2f}",
        "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f} MB",
        "" if row.value is None else f"{row.value:.9g}",
        f"{row.error:.0e}",
        "yes" if row.correct else "NO",
    ]


def _time(seconds: float) -> str:
    if not isfinite(seconds):
        return "not resolved"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"


def bullets(about: Mapping[str, str]) -> str:
    """Return what the figures were measured on, as a Markdown list."""
    return "\n".join(f"- {name}: {text}" for name, text in about.items())


def times(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    return markdown_table(list(COLUMNS), map(cells, rows))


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], n_left: int = 1) -> str:
    """Return a Markdown table whose first `n_left` columns stand left, the others right."""
    rules = [":--"] * n_left + ["--:"] * (len(heads) - n_left)
    return "\n".join(f"| {' | '.join(texts)} |" for texts in (heads, rules, *rows))


def as_dict(
    about: Mapping[str, str], ceilings: Iterable[Ceilings], rows: Iterable[Row]
) -> dict[str, Any]:
    """Return what was measured as JSON has it: null for what is not a finite number."""
    return {
        "machine": dict(about),
        "ceilings": [plain(found._asdict()) for found in ceilings],
        "rows": [plain({**row._asdict(), **_case(row)}) for row in rows],
    }


def _case(row: Row) -> dict[str, Any]:
    settings = {name: value for name, value in row.case._asdict().items() if name != "repeats"}
    return {"case": str(row.case), **settings}


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with null for what is not a finite number."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in fields.items()
    }


def write(folder: Path, found: Mapping[str, Any], markdown: str) -> None:
    """Write ``benchmark.json`` and ``benchmark.md`` to a folder."""
    with replacing(folder / JSON_FILE) as file:
        file.write(json.dumps(found, indent=1, allow_nan=False).encode())
    with replacing(folder / MARKDOWN_FILE) as file:
        file.write(markdown.encode())
