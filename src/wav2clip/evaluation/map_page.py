"""A map as a page that opens from disk: hover names a clip, a click plays it."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import soundfile

from wav2clip.audio.io import cut_audio
from wav2clip.errors import MissingExtraError, Wav2ClipError
from wav2clip.evaluation.map_picture import LABELLED, palette
from wav2clip.evaluation.projection import TEXT, Map, Point
from wav2clip.files import atomic_path

EMBEDDED_SECONDS = 10.0
"""How much of each recording a page carries inside itself at most."""

_EMBEDDED_RATE = 24_000
_GREY = "#4c78a8"
_SVG_POINTS = 3_000
"""Above so many points the browser draws with WebGL."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; \
img-src data: blob:; media-src 'self' file: data:">
<title>{title}</title>
<style>
html, body {{ height: 100%; margin: 0; font-family: system-ui, sans-serif; color: #222; }}
body {{ display: flex; flex-direction: column; }}
header {{ display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 1.5rem;
  padding: 0.6rem 1rem; border-bottom: 1px solid #ddd; }}
h1 {{ font-size: 1rem; margin: 0; }}
#now {{ flex: 1; min-width: 12rem; overflow-wrap: anywhere; }}
#now.failed {{ color: #b00020; }}
audio {{ height: 2.2rem; }}
main {{ flex: 1; min-height: 0; }}
main > div {{ height: 100%; }}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
<span id="now" aria-live="polite">Hover over a point for its name, click it to listen.</span>
<audio id="player" controls preload="none"></audio>
</header>
<main>
{figure}
</main>
</body>
</html>
"""

_SCRIPT = """
const map = document.getElementById("{plot_id}");
const player = document.getElementById("player");
const now = document.getElementById("now");
map.on("plotly_click", (event) => {
  const [address, name] = event.points[0].customdata;
  now.className = "";
  now.textContent = name;
  if (!address) return;
  player.src = address;
  player.play().catch(() => {});
});
player.addEventListener("error", () => {
  now.className = "failed";
  now.textContent += " cannot be played: the file has moved, or the browser lacks its format";
});
"""


def draw(shown: Map, target: Path, *, embed_audio: bool = False) -> dict[Path, str]:
    """Write a map as one HTML page that needs no network.

    Args:
        shown: what to draw.
        target: written when whole.
        embed_audio: put up to :data:`EMBEDDED_SECONDS` of each recording into the page, so that it
            can be sent to others; otherwise the page links to the files where they are.

    Returns:
        The recordings that could not be embedded, and why; their points are there all the same.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise MissingExtraError("needs plotly: pip install 'wav2clip[evaluation]'") from error
    failures: dict[Path, str] = {}

    def address(point: Point) -> str:
        if point.path is None:
            return ""
        if not embed_audio:
            return link(point, target)
        try:
            return data_address(point)
        except (Wav2ClipError, OSError) as error:
            failures[point.path] = str(error)
            return ""

    figure = go.Figure(_traces(go, shown, address))
    axis = {"showgrid": False, "zeroline": False, "showticklabels": False}
    figure.update_layout(
        template="plotly_white",
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"itemsizing": "constant", "y": 0.95},  # below the bar of buttons
        xaxis=axis,
        yaxis={**axis, "scaleanchor": "x"},
        hoverlabel={"namelength": -1},
    )
    body = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        post_script=_SCRIPT,
        default_width="100%",
        default_height="100%",
        config={"responsive": True, "displaylogo": False},
    )
    page = _PAGE.format(title=html.escape(shown.title), figure=body)
    with atomic_path(target) as temporary:
        temporary.write_text(page, "utf-8")
    return failures


def link(point: Point, page: Path) -> str:
    """The address of a recording as seen from the page, with the times to play."""
    assert point.path is not None
    folder = os.path.abspath(page.parent)
    relative = os.path.relpath(os.path.abspath(point.path), folder)
    address = quote(os.fsencode(relative.replace(os.sep, "/")))
    # "a:b.ogg" alone would be read as a scheme.
    address = address if address.startswith(".") else f"./{address}"
    if point.start or point.end is not None:
        end = "" if point.end is None else f",{point.end:.3f}"
        address += f"#t={point.start:.3f}{end}"
    return address


def data_address(point: Point) -> str:
    """A recording inside its own address, as MP3, which every browser plays.

    Raises:
        AudioError: it cannot be read.
    """
    assert point.path is not None
    start, seconds = None, EMBEDDED_SECONDS
    if point.end is not None:
        start, seconds = point.start, min(point.end - point.start, EMBEDDED_SECONDS)
    samples = cut_audio(point.path, start, seconds, _EMBEDDED_RATE)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, _EMBEDDED_RATE, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _traces(go: Any, shown: Map, address: Callable[[Point], str]) -> list[Any]:
    """One trace per class, and one of words; of too many classes, one of all sounds."""
    labels = shown.labels if len(shown.labels) <= LABELLED else []
    colours = dict(zip(labels, palette(len(labels)), strict=True))
    groups: dict[tuple[str, str], list[int]] = {}
    for row, point in enumerate(shown.points):
        label = point.label if point.label in colours and point.kind != TEXT else ""
        groups.setdefault((point.kind, label), []).append(row)
    scatter = go.Scatter if len(shown.points) <= _SVG_POINTS else go.Scattergl
    ordered = sorted(groups.items(), key=lambda group: (group[0][0] == TEXT, group[0][1]))
    return [
        _trace(scatter, shown, rows, kind, label, colours, address)
        for (kind, label), rows in ordered
    ]


def _trace(
    scatter: Any,
    shown: Map,
    rows: list[int],
    kind: str,
    label: str,
    colours: dict[str, str],
    address: Callable[[Point], str],
) -> Any:
    points = [shown.points[row] for row in rows]
    words = kind == TEXT
    # Plotly reads a little HTML in its strings.
    names = [html.escape(point.name) for point in points]
    return scatter(
        x=shown.coordinates[rows, 0],
        y=shown.coordinates[rows, 1],
        mode="markers+text" if words else "markers",
        name="words" if words else html.escape(label) or "sounds",
        text=names if words else None,
        textposition="top center" if words else None,
        hovertext=[
            f"{name}<br>{html.escape(point.label)}" if point.label and not words else name
            for name, point in zip(names, points, strict=True)
        ],
        hoverinfo="text",
        customdata=[[address(point), point.name] for point in points],
        marker={
            "color": [colours.get(point.label, _GREY) for point in points],
            "size": 11 if words else 7,
            "symbol": "diamond" if words else "circle",
            "opacity": 1.0 if words else 0.8,
            "line": {"width": 1.5 if words else 0, "color": "black"},
        },
    )
