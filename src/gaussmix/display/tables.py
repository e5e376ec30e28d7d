"""Small tables for people, as text and as HTML for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MOST_ROWS = 20  # that a notebook shows of a table unasked


@dataclass(frozen=True, repr=False)
class Summary:
    """What there is to say of a model: a title, sentences, a table, and remarks below it.

    It prints as text, and notebooks show it as a table.

    Attributes
    ----------
    title : str
    facts : tuple of str
    heads : tuple of str
        Of the columns.
    rows : tuple of tuple of str
        One for each component or cluster.
    remarks : tuple of str
    """

    title: str
    facts: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [self.title, *self.facts, "", as_text(self.heads, self.rows)]
        return "\n".join([*lines, *([""] if self.remarks else []), *self.remarks])

    __repr__ = __str__

    def _repr_html_(self, most: int | None = None) -> str:
        rows, remarks = self.rows, self.remarks
        if most is not None and len(rows) > most:
            rows, remarks = rows[:most], (f"{len(rows) - most} more rows", *remarks)
        return as_html(self.title, self.facts, self.heads, rows, remarks)


def as_text(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns end under each other."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    ]
    return "\n".join(lines)


def as_html(
    title: str,
    facts: Sequence[str],
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    remarks: Sequence[str] = (),
) -> str:
    """Return a title, sentences, a table and remarks as HTML in the page's own style."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    above = "<br>".join(map(escape, facts))
    below = "<br>".join(map(escape, remarks))
    return (
        f"<div><strong>{escape(title)}</strong><br>{above}"
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )


def with_spread(mean: float, std: float) -> str:
    """Return a mean and its spread with as many digits as the spread's first two tell.

    >>> with_spread(80.04, 5.871), with_spread(1234567.0, 0.0)
    ('80.0 ± 5.9', '1.23457e+06 ± 0')
    """
    for decimals in range(5):
        if 1e-4 <= std < 1e5 and std >= 10 ** (1 - decimals) and abs(mean) < 1e7:
            rounded = round(mean, decimals) + 0.0  # no -0
            return f"{rounded:.{decimals}f} ± {std:.{decimals}f}"
    return f"{mean:.6g} ± {std:.2g}"
