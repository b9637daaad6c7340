"""A map as a still picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2clip.errors import MissingExtraError
from wav2clip.evaluation.projection import TEXT, Map
from wav2clip.files import atomic_path

LABELLED = 60
"""Classes that have colours of their own and are named; of more, no one can tell them apart."""

_INCHES = (11, 9)
_DPI = 150
_GREY = "#4c78a8"


def palette(count: int) -> list[str]:
    """Colours ``#rrggbb`` of ``count`` classes, far apart for few; they repeat after 60."""
    from matplotlib import color_sequences
    from matplotlib.colors import to_hex

    names = ["tab10"] if count <= 10 else ["tab20", "tab20b", "tab20c"]
    colours = [to_hex(colour) for name in names for colour in color_sequences[name]]
    return [colours[i % len(colours)] for i in range(count)]


def draw(shown: Map, target: Path) -> None:
    """Write a map as PNG: a colour per class, its name at the median of its sounds.

    Args:
        shown: what to draw.
        target: written when whole.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("needs matplotlib: pip install 'wav2clip[evaluation]'") from error
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xticks=[], yticks=[])
    axes.set_title(_plain(shown.title))
    axes.set_aspect("equal", "datalim")
    labels = shown.labels if len(shown.labels) <= LABELLED else []
    colours = dict(zip(labels, palette(len(labels)), strict=True))
    _scatter(axes, shown, colours)
    figure.draw_without_rendering()
    _name_clusters(axes, shown, colours)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png")


def _scatter(axes: Any, shown: Map, colours: dict[str, str]) -> None:
    sizes = float(np.clip(20_000 / max(1, len(shown.points)), 4, 60))
    for kind, marker in (("sound", "o"), (TEXT, "D")):
        rows = [row for row, point in enumerate(shown.points) if point.kind == kind]
        if not rows:
            continue
        words = kind == TEXT
        axes.scatter(
            *shown.coordinates[rows].T,
            c=[colours.get(shown.points[row].label, _GREY) for row in rows],
            s=70 if words else sizes,
            marker=marker,
            alpha=1.0 if words else 0.75,
            edgecolors="black" if words else "none",
            linewidths=1.0 if words else 0.0,
            zorder=3 if words else 2,
            label="words" if words else "sounds",
        )
    if any(point.kind == TEXT for point in shown.points):
        axes.legend(loc="lower right")


def _name_clusters(axes: Any, shown: Map, colours: dict[str, str]) -> None:
    from matplotlib.patheffects import withStroke

    sounds = [point.kind != TEXT for point in shown.points]
    for label, colour in colours.items():
        rows = [i for i, point in enumerate(shown.points) if point.label == label and sounds[i]]
        if not rows:
            continue
        x, y = np.median(shown.coordinates[rows], axis=0)
        name = _plain(label.replace("_", " "))
        axes.annotate(
            name, (x, y), xytext=(0, 0), textcoords="offset pixels", ha="center", va="center",
            fontsize=9, weight="bold", color=_dark(colour), zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
        for row, point in enumerate(shown.points):
            if point.kind == TEXT and point.label == label:  # how far a word is from its sounds
                ends = np.array([(x, y), shown.coordinates[row]])
                axes.plot(*ends.T, color=_dark(colour), linewidth=0.8, alpha=0.6, zorder=1)
    _separate(axes)


def _separate(axes: Any) -> None:
    """Push names off one another, mostly up and down, where they would overlap."""
    names = list(axes.texts)
    if not names:
        return
    boxes = [name.get_window_extent() for name in names]
    centres = np.array([[(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2] for b in boxes])
    sizes = np.array([[b.width, b.height] for b in boxes])
    for name, offset in zip(names, spread(centres, sizes) - centres, strict=True):
        name.set_position(tuple(offset))


def spread(
    centres: NDArray[np.float64], sizes: NDArray[np.float64], rounds: int = 300
) -> NDArray[np.float64]:
    """Centres (n, 2) of boxes (n, 2) moved as little as removes their overlaps, in pixels."""
    moved = np.array(centres, np.float64)
    for _ in range(rounds):
        apart = moved[:, None] - moved[None]
        overlap = (sizes[:, None] + sizes[None]) / 2 - np.abs(apart)
        hit = (overlap > 0).all(axis=2) & ~np.eye(len(moved), dtype=bool)
        if not hit.any():
            break
        # Names are wide and low: moving up or down is the shortest way.
        order = np.arange(len(moved))
        up = np.where(apart[..., 1] == 0, np.sign(order[:, None] - order), np.sign(apart[..., 1]))
        push = np.where(hit, up * np.minimum(overlap[..., 1] / 2 + 0.5, 8.0), 0.0)
        moved[:, 1] += push.sum(axis=1)
    return moved


def _dark(colour: str) -> tuple[float, float, float]:
    """A colour of the same hue that can be read on white: at most 40 % light."""
    from colorsys import hls_to_rgb, rgb_to_hls

    from matplotlib.colors import to_rgb

    hue, lightness, saturation = rgb_to_hls(*to_rgb(colour))
    return hls_to_rgb(hue, min(lightness, 0.4), saturation)


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula, cut to a length that can be read."""
    short = text if len(text) <= 80 else text[:77] + "..."
    return short.replace("$", r"\$")
