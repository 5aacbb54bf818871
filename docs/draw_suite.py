"""Draw docs/images/suite.png: models of the public lists beside generated ones.

    python docs/draw_suite.py FOLDER docs/images/suite.png

FOLDER holds the public lists that `stageroute.workloads.public_lists` reads.
"""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from stageroute.workloads.market import Suite, draw_suite, quality
from stageroute.workloads.public_lists import read_public_lists


def scatter(axes: Axes, suite: Suite, title: str) -> PathCollection:
    """Draw quality against price, coloured by release."""
    points = axes.scatter(
        suite.cost, quality(suite.rating), c=suite.years + 2023.35, cmap="viridis", s=34, zorder=2
    )
    axes.set(title=title, xscale="log", xlabel="USD per query (log scale)")
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return points


def main(folder: str, output: str) -> None:
    """Draw two panels on one scale."""
    real = read_public_lists(folder).suite
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    points = scatter(left, real, f"public lists: {len(real.names)} models")
    points.set_clim(2023.9, 2025.2)
    scatter(right, draw_suite(48, 0), "generated: 48 models").set_clim(points.get_clim())
    left.set_ylabel("quality: chance of beating the reference")
    figure.colorbar(points, ax=[left, right], label="release")
    figure.savefig(Path(output), dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
