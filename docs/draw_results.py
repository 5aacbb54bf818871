"""Draw a figure of a study as an SVG file: python docs/draw_results.py RESULTS TITLE OUTPUT.

RESULTS is the folder of a study; TITLE the beginning of a figure's title, or of its part and title
with a slash between.
"""

import re
import sys
from pathlib import Path

from stageroute.lab.page.drawing import draw
from stageroute.lab.page.palette import COLOURS, styles
from stageroute.lab.results import read_results
from stageroute.lab.studies import STUDIES

LIGHT = {name: light for name, (light, _) in COLOURS.items()}
"""A file on its own has no style sheet that could say what colours are."""


def main(folder: str, title: str, output: str) -> None:
    """Draw the first figure of that title."""
    results = read_results(Path(folder))
    summary = STUDIES[results.study].summarise(results)
    figure = next(
        figure
        for figure in summary.figures
        if f"{figure.part}/{figure.title}".startswith(title) or figure.title.startswith(title)
    )
    drawn = draw(figure, styles(summary), "figure")
    drawn = re.sub(r"var\(--([a-z]+)\)", lambda found: LIGHT[found[1]], drawn)
    head = '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff"'
    Path(output).write_text(drawn.replace("<svg", head, 1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
