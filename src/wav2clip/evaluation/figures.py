"""Figures of a report as SVG: confusion, data efficiency, calibration."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, sharp, searchable
    "svg.hashsalt": "wav2clip",  # the same figure gives the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#94a3b8",
    "axes.labelcolor": "#334155",
    "xtick.color": "#475569",
    "ytick.color": "#475569",
    "axes.prop_cycle": cycler(
        color=["#4f46e5", "#0d9488", "#d97706", "#db2777", "#475569", "#65a30d"]
    ),
}


def confusion(counts: ArrayLike, labels: Sequence[str]) -> str:
    """What was taken for what, as shares of each row; rows are what it was.

    Args:
        counts: (classes, classes).
        labels: of the classes.
    """
    matrix = np.asarray(counts, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [label.replace("_", " ") for label in labels]
    inches = float(np.clip(0.19 * len(names) + 2.6, 6.5, 12.5))
    with mpl.rc_context(_STYLE | {"font.size": 8 if len(names) > 20 else 10}):
        figure, axes = _blank(inches, inches * 0.94)
        image = axes.imshow(shares, cmap="BuPu", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.set(xlabel="taken for", ylabel="was")
        axes.spines[:].set_visible(False)
        if len(names) <= 12:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:
                    colour = "white" if share > 0.55 else "#334155"
                    axes.text(
                        column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour
                    )
        bar = figure.colorbar(image, ax=axes, shrink=0.5, format=PercentFormatter(1))
        bar.outline.set_visible(False)
        return _svg(figure)


def efficiency(curves: Mapping[str, Sequence[tuple[float, float, float]]]) -> str:
    """Accuracy over the number of training labels, a band of one standard deviation around it.

    Args:
        curves: name to points (labels, mean, spread), each from 0 to 1 but the labels.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _blank(7.2, 4.2)
        for name, points in curves.items():
            labels, mean, spread = np.array(points).T
            (line,) = axes.plot(labels, mean, marker="o", label=name)
            axes.fill_between(
                labels, mean - spread, mean + spread, color=line.get_color(), alpha=0.15, lw=0
            )
        axes.set_xscale("log")
        ticks = sorted({point[0] for points in curves.values() for point in points})
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set(xlabel="training labels (of a fold)", ylabel="accuracy")
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False)
        return _svg(figure)


def calibration(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Share of right answers over the probability that was said, and how many clips that were.

    Args:
        found: name to "said", "right" and "clips" of the bins that hold any.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _blank(7.2, 5.0, 2, [3, 1])
        axes[0].plot([0, 1], [0, 1], color="#94a3b8", linestyle="--", label="calibrated")
        for name, bins in found.items():
            (line,) = axes[0].plot(bins["said"], bins["right"], marker="o", label=name)
            axes[1].plot(bins["said"], bins["clips"], marker=".", color=line.get_color())
        axes[0].set(ylabel="share that is right", ylim=(0, 1))
        axes[0].yaxis.set_major_formatter(PercentFormatter(1))
        axes[0].legend(frameon=False)
        axes[1].set(ylabel="clips", xlabel="probability of the likeliest label")
        axes[1].set_ylim(bottom=0)
        for axis in axes:
            axis.set_xlim(0, 1)
            axis.xaxis.set_major_formatter(PercentFormatter(1))
            axis.grid(alpha=0.3)
        return _svg(figure)


def _blank(
    width: float, height: float, rows: int = 1, ratios: Sequence[float] | None = None
) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(rows, sharex=rows > 1, height_ratios=ratios)


def _svg(figure: Figure) -> str:
    """The ``<svg>`` element alone, as it stands in a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
