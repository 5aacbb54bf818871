"""Draw a figure of a study as an SVG file: python docs/draw_results.py RESULTS TITLE OUTPUT.

RESULTS is the folder of a study; TITLE the beginning of a figure's title, or of its part and title
with a slash between.
"""

import sys
from pathlib import Path

from stageroute.lab.page.drawing import draw, looks
from stageroute.lab.results import read_results
from stageroute.lab.studies import STUDIES


def main(folder: str, title: str, output: str) -> None:
    """Draw the first figure of that title."""
    results = read_results(Path(folder))
    summary = STUDIES[results.study].summarise(results)
    figure = next(
        figure
        for figure in summary.figures
        if f"{figure.part}/{figure.title}".startswith(title) or figure.title.startswith(title)
    )
    drawn = draw(figure, looks(summary), "figure")
    on_white = drawn.replace("<svg", '<svg style="background:#fff"', 1)
    Path(output).write_text(on_white, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
