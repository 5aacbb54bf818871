"""Tables as text."""

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

WIDEST = 100_000
"""Lines are never wrapped: terminals and files do that better."""


def format_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    sides: str | None = None,
    heads: Sequence[tuple[str, int]] = (),
) -> str:
    """Align columns, with a rule below their heads.

    `sides` has ``<`` or ``>`` for each column: by default the first is aligned to the left. `heads`
    are headings over several columns, from the left: text and how many columns.
    """
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style=""
    )
    above = [place for text, span in heads for place in (text, *[""] * (span - 1))]
    for number, column in enumerate(columns):
        side = sides[number] if sides else "<>"[number > 0]
        head = f"{above[number]}\n{column}" if above else column
        table.add_column(head, justify="left" if side == "<" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    plain = Console(file=text, width=WIDEST, markup=False, highlight=False, emoji=False)
    plain.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
