"""The benchmark's tables on a terminal, in Markdown and in JSON."""

import json
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from gaussmix.bench.cases import Case
from gaussmix.bench.efficiency import Grid, pairs
from gaussmix.bench.machine import Ceilings
from gaussmix.bench.race import Row
from gaussmix.bench.targets import Target, summary
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
TARGET_COLUMNS = ("shape", "target", "wanted", "measured", "met", "", "bound by")
VERDICTS = {True: "yes", False: "NO", None: ""}
WRONG = "our answer is wrong, or worse"


class Report(NamedTuple):
    """A run: the machine, what was measured on it, and what that says of the targets."""

    about: dict[str, str]
    ceilings: list[Ceilings]
    rows: list[Row]
    targets: list[Target]
    grid: Grid | None = None


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


def target_cells(target: Target) -> list[str]:
    """Return what stands under `TARGET_COLUMNS` for a target."""
    measured = "not measured" if target.measured is None else f"{target.measured:.2f}"
    wanted = "" if target.least is None else f"{target.least:g}"
    note = "; ".join(filter(None, ("" if target.correct else WRONG, target.note)))
    bound = target.bound if target.met is False else ""
    return [target.shape, target.what, wanted, measured, VERDICTS[target.met], note, bound]


def target_lines(targets: Sequence[Target]) -> list[str]:
    """Return the table of targets for a terminal, and the count of those met."""
    table = [list(TARGET_COLUMNS), *map(target_cells, targets)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    padded = (
        [f"{text:<{width}}" for text, width in zip(cells, widths, strict=True)] for cells in table
    )
    return [*("  ".join(texts).rstrip() for texts in padded), "", summary(targets)]


def markdown(report: Report, pictures: Sequence[str] = ()) -> str:
    """Return the machine, the targets, the times and the rates of all shapes."""
    facts = [f"- {name}: {text}" for name, text in report.about.items()]
    times = _table(list(COLUMNS), map(cells, report.rows), [":--"])
    parts = ["\n".join(facts)]
    if report.targets:
        table = _table(TARGET_COLUMNS, map(target_cells, report.targets), [":--", ":--"])
        parts += ["## Targets", f"{summary(report.targets)}.", table]
    if report.rows:
        parts += ["## Times", times]
    if report.grid:
        parts += [f"## GFLOP/s of a pass, {report.grid.threads} threads", _grid_table(report.grid)]
    parts += [f"![{Path(name).stem}]({name})" for name in pictures]
    return "\n\n".join(parts) + "\n"


def _grid_table(grid: Grid) -> str:
    features = sorted({d for d, _ in grid.rates})
    components = sorted({k for _, k in grid.rates})
    rows = ([f"D={d}", *(f"{grid.rates[d, k]:.1f}" for k in components)] for d in features)
    return _table(["", *(f"K={k}" for k in components)], rows, [":--"])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str]) -> str:
    """A Markdown table; as many columns as `left` has stand left, the others right."""
    rules = [*left, *["--:"] * (len(heads) - len(left))]
    return "\n".join(f"| {' | '.join(texts)} |" for texts in (heads, rules, *rows))


def save(report: Report, folder: Path, pictures: Sequence[str] = ()) -> None:
    """Write ``benchmark.json`` and ``benchmark.md`` to a folder."""
    with replacing(folder / "benchmark.json") as file:
        file.write(json.dumps(as_dict(report), indent=1, allow_nan=False).encode())
    with replacing(folder / "benchmark.md") as file:
        file.write(markdown(report, pictures).encode())


def as_dict(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it: null for what is not a finite number."""
    return {
        "machine": report.about,
        "ceilings": [_plain(found._asdict()) for found in report.ceilings],
        "targets": [_plain({**target._asdict(), "met": target.met}) for target in report.targets],
        "rows": [_plain({**row._asdict(), **_case(row)}) for row in report.rows],
        "efficiency": None if report.grid is None else _grid(report.grid),
    }


def read(folder: Path) -> Report:
    """Read what `save` wrote to a folder, but for the targets, which follow from the rest.

    Raises
    ------
    ValueError
        If the folder has no ``benchmark.json``, or it is not as this version writes it.
    """
    path = folder / "benchmark.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        ceilings = [Ceilings(**found) for found in saved["ceilings"]]
        rows = [_row(found) for found in saved["rows"]]
        return Report(saved["machine"], ceilings, rows, [], _read_grid(saved["efficiency"]))
    except FileNotFoundError:
        raise ValueError(f"there is no run to resume: {path} is missing") from None
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is not from this version of the benchmark ({reason})") from None


def _row(saved: dict[str, Any]) -> Row:
    fields = {name: saved[name] for name in Row._fields if name != "case"}
    for name in ("seconds", "uncertainty", "ratio"):  # null is what is not a finite number
        fields[name] = float("nan") if fields[name] is None else fields[name]
    settings = {name: saved[name] for name in Case._fields if name != "repeats"}
    return Row(Case(**settings), **fields)


def _read_grid(saved: dict[str, Any] | None) -> Grid | None:
    if saved is None:
        return None
    shapes = saved["shapes"]
    rates = {(shape["n_features"], shape["n_components"]): shape["gflops"] for shape in shapes}
    return Grid(saved["threads"], rates)


def _case(row: Row) -> dict[str, Any]:
    return {
        "case": str(row.case),
        **{name: value for name, value in row.case._asdict().items() if name != "repeats"},
    }


def _grid(grid: Grid) -> dict[str, Any]:
    shapes = [
        {"n_features": d, "n_components": k, "gflops": rate} for (d, k), rate in grid.rates.items()
    ]
    return {
        "threads": grid.threads,
        "shapes": shapes,
        "pairs": [pair._asdict() for pair in pairs(grid)],
    }


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in fields.items()
    }
