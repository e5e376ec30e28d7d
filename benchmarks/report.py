"""The report of a full run: targets, times and rates on a terminal, in Markdown and in JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.efficiency import Grid, pairs
from benchmarks.targets import Target, summary
from gaussmix.bench import table
from gaussmix.bench.cases import Case
from gaussmix.bench.machine import Ceilings
from gaussmix.bench.race import Row

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


def target_cells(target: Target) -> list[str]:
    """Return what stands under `TARGET_COLUMNS` for a target."""
    measured = "not measured" if target.measured is None else f"{target.measured:.2f}"
    wanted = "" if target.least is None else f"{target.least:g}"
    note = "; ".join(filter(None, ("" if target.correct else WRONG, target.note)))
    bound = target.bound if target.met is False else ""
    return [target.shape, target.what, wanted, measured, VERDICTS[target.met], note, bound]


def target_lines(targets: Sequence[Target]) -> list[str]:
    """Return the table of targets for a terminal, and the count of those met."""
    lines = [list(TARGET_COLUMNS), *map(target_cells, targets)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (
        [f"{text:<{width}}" for text, width in zip(cells, widths, strict=True)] for cells in lines
    )
    return [*("  ".join(texts).rstrip() for texts in padded), "", summary(targets)]


def markdown(report: Report, pictures: Sequence[str] = ()) -> str:
    """Return the machine, the targets, the times and the rates of all shapes."""
    parts = [table.bullets(report.about)]
    if report.targets:
        cells = map(target_cells, report.targets)
        wanted = table.markdown_table(TARGET_COLUMNS, cells, n_left=2)
        parts += ["## Targets", f"{summary(report.targets)}.", wanted]
    if report.rows:
        parts += ["## Times", table.times(report.rows)]
    if report.grid:
        parts += [f"## GFLOP/s of a pass, {report.grid.threads} threads", _grid_table(report.grid)]
    parts += [f"![{Path(name).stem}]({name})" for name in pictures]
    return "\n\n".join(parts) + "\n"


def _grid_table(grid: Grid) -> str:
    features = sorted({d for d, _ in grid.rates})
    components = sorted({k for _, k in grid.rates})
    rows = ([f"D={d}", *(f"{grid.rates[d, k]:.1f}" for k in components)] for d in features)
    return table.markdown_table(["", *(f"K={k}" for k in components)], rows)


def save(report: Report, folder: Path, pictures: Sequence[str] = ()) -> None:
    """Write ``benchmark.json`` and ``benchmark.md`` to a folder."""
    table.write(folder, as_dict(report), markdown(report, pictures))


def as_dict(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it: null for what is not a finite number."""
    targets = [table.plain({**target._asdict(), "met": target.met}) for target in report.targets]
    return {
        **table.as_dict(report.about, report.ceilings, report.rows),
        "targets": targets,
        "efficiency": None if report.grid is None else _grid(report.grid),
    }


def read(folder: Path) -> Report:
    """Read what `save` wrote to a folder, without the targets, which follow from the rest.

    Raises
    ------
    ValueError
        If the folder has no ``benchmark.json``, or it is not as this version writes it.
    """
    path = folder / table.JSON_FILE
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


def _grid(grid: Grid) -> dict[str, Any]:
    shapes = [
        {"n_features": d, "n_components": k, "gflops": rate} for (d, k), rate in grid.rates.items()
    ]
    return {
        "threads": grid.threads,
        "shapes": shapes,
        "pairs": [pair._asdict() for pair in pairs(grid)],
    }
