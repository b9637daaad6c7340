"""Zero-shot classification: labels into prompts, prompts into class weights, scores into
probabilities.

Everything here is a pure function on arrays; the only network is the text tower that embeds the
prompts. The recipe is that of Radford et al. 2021 (arXiv 2103.00020, section 3.1.4): embed every
label in several sentences, average the unit vectors, and compare by cosine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wav2clip.errors import InputError, SpaceError
from wav2clip.files import decode_text, display
from wav2clip.models.space import unit
from wav2clip.models.towers.base import Embeddings, Towers

Array = npt.NDArray[np.floating]

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "label": ("{}",),
    "sound": ("the sound of {}",),
    "photo": ("a photo of a {}",),
    "ensemble": ("{}", "a {}", "a photo of a {}", "the sound of {}"),
}
"""Prompt templates by name; a label takes the place of ``{}``."""

DEFAULT_TEMPLATES = "sound"
"""The best of :data:`TEMPLATES` by measurement, see docs/results/zeroshot.md."""

PRESETS = ("audioset", "esc50", "urbansound8k", "vggsound")
"""Label lists that ship with the package."""

_CHUNK = 4096


def preset_labels(name: str) -> list[str]:
    """Labels of a dataset, in the order of its class numbers (VGGSound's: of the alphabet).

    Raises:
        InputError: no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"got preset {name!r}, expected one of {', '.join(PRESETS)}")
    text = (files("wav2clip") / "presets" / f"{name}.txt").read_text(encoding="utf-8")
    return text.splitlines()


def read_labels(text: str, *, least: int = 2) -> list[str]:
    """Labels as they are given to a command: words, a preset, or a text file.

    Args:
        text: labels with commas between, one of :data:`PRESETS`, or the path of a file with one
            label per line.
        least: labels that make sense: with a single one to choose from every sound would be that.

    Raises:
        InputError: none of these, a file that cannot be read, fewer labels, or those that
            :func:`check_labels` refuses.
    """
    if text in PRESETS:
        return preset_labels(text)
    if "," in text:
        return check_labels([label for label in text.split(",") if label.strip()])
    path = Path(text)
    if path.is_file():
        return check_labels(_lines(path))
    if len(path.parts) > 1 or path.suffix.lower() in (".txt", ".csv", ".tsv"):
        raise InputError(f"labels {display(text)}: no such file")
    if least < 2:
        return check_labels([text])
    presets = ", ".join(PRESETS)
    raise InputError(
        f"{text!r} alone says nothing, every sound would be that; expected several labels such as "
        f"'dog,rain', a text file with one label per line, or one of {presets}"
    )


def read_labels_file(path: Path) -> list[str]:
    """Labels of a text file with one per line.

    Raises:
        InputError: as :func:`read_labels`.
    """
    return check_labels(_lines(path))


def _lines(path: Path) -> list[str]:
    try:
        lines = decode_text(path.read_bytes()).splitlines()
    except OSError as error:
        raise InputError(
            f"{display(path)} cannot be read ({error}), expected a text file with one label per "
            "line"
        ) from error
    return [line for line in lines if line.strip()]


def check_labels(labels: Sequence[str]) -> list[str]:
    """The labels, without white space around them.

    Raises:
        InputError: none, one that is empty or no string, or one that is given twice.
    """
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise InputError("expected a list of labels such as ['dog', 'rain']")
    stripped = [label.strip() for label in labels]
    if not stripped:
        raise InputError("the list of labels is empty, expected at least one")
    if "" in stripped:
        raise InputError(f"label {stripped.index('')} is empty")
    twice = [_short(label) for label, count in Counter(stripped).items() if count > 1]
    if twice:
        raise InputError(
            f"given more than once: {', '.join(twice[:5])}; a label can have one probability only"
        )
    return stripped


def resolve_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Templates by name (:data:`TEMPLATES`), one template, or several.

    Raises:
        InputError: none, or one without exactly one ``{}``.
    """
    if isinstance(templates, str):
        templates = TEMPLATES.get(templates, (templates,))
    if not templates:
        raise InputError("the list of templates is empty, expected at least one")
    for template in templates:
        if template.count("{}") != 1:
            raise InputError(
                f"template {template!r} must hold {{}} exactly once, where the label goes; "
                f"named templates are {', '.join(TEMPLATES)}"
            )
    return tuple(templates)


def class_weights(
    towers: Towers,
    labels: Sequence[str],
    templates: str | Sequence[str] = DEFAULT_TEMPLATES,
) -> Embeddings:
    """One unit vector per label: the mean of its prompts' embeddings, scaled to length one.

    Returns:
        (k, dimension) float32, in the order of the labels.

    Raises:
        InputError: see :func:`check_labels` and :func:`resolve_templates`.
    """
    checked = check_labels(labels)
    total = np.zeros((len(checked), towers.dimension), np.float32)
    for template in resolve_templates(templates):
        # str.format would trip over braces inside a label or a template.
        total += towers.embed_text([template.replace("{}", label) for label in checked])
    return unit(total)


def similarity(
    a: Array,
    b: Array,
    a_mean: Array | None = None,
    b_mean: Array | None = None,
) -> Embeddings:
    """Cosines (n, k) of embeddings (n, d) and (k, d), centred if both means are given.

    Sounds, words and pictures lie around different means (the modality gap; Liang et al. 2022,
    arXiv 2203.02053). Centring subtracts from each side its modality's mean before the cosine.

    Raises:
        SpaceError: the dimensions differ.
    """
    a, b = np.atleast_2d(a), np.atleast_2d(b)
    if a.shape[1] != b.shape[1]:
        raise SpaceError(
            f"embeddings of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared: "
            "they come from models of different spaces"
        )
    if a_mean is not None and b_mean is not None:
        a, b = unit(a) - a_mean, unit(b) - b_mean
    return np.asarray(unit(a) @ unit(b).T, np.float32)


def centred_scale(logit_scale: float, a_mean: Array, b_mean: Array) -> float:
    """The factor that keeps centred scores as spread out as the model's own.

    Of unit vectors around a mean m the part beside the mean has the mean square length 1 - |m|^2.
    Dividing by these lengths is what centring does to cosines, so the factor shrinks by them.
    """
    spread = (1 - float(a_mean @ a_mean)) * (1 - float(b_mean @ b_mean))
    return logit_scale * float(np.sqrt(max(spread, 0.0)))


def classify_embeddings(
    audio_embeddings: Array,
    class_weights: Array,
    logit_scale: float,
    audio_mean: Array | None = None,
    text_mean: Array | None = None,
) -> Embeddings:
    """Probabilities of classes: the softmax of scaled cosines.

    Args:
        audio_embeddings: (n, d) or (d,).
        class_weights: (k, d), from :func:`class_weights`.
        logit_scale: factor on the cosines: the towers' own (CLIP ViT-B/32: 100) where they are
            plain, a fitted one or :func:`centred_scale` where they are centred.
        audio_mean: (d,) mean of the audio embeddings; scores are centred if both means are given.
        text_mean: (d,) mean of the text embeddings.

    Returns:
        (n, k) float32; each row sums to one.

    Raises:
        InputError: no class, or a scale that is not positive.
        SpaceError: the dimensions differ.
    """
    if len(class_weights) == 0:
        raise InputError("there is no class to choose from")
    if not (np.isfinite(logit_scale) and logit_scale > 0):
        raise InputError(f"got logit_scale {logit_scale}, expected a positive number")
    weights = np.asarray(class_weights)
    rows = np.atleast_2d(audio_embeddings)
    probabilities = np.empty((len(rows), len(weights)), np.float32)
    for start in range(0, len(rows), _CHUNK):
        scores = similarity(rows[start : start + _CHUNK], weights, audio_mean, text_mean)
        probabilities[start : start + _CHUNK] = softmax(scores * logit_scale)
    return probabilities


def softmax(logits: Array) -> Embeddings:
    """Rows of non-negative numbers that sum to one."""
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def top(
    probabilities: Array, labels: Sequence[str], count: int | None = None
) -> list[tuple[str, float]]:
    """The ``count`` likeliest labels of one row of probabilities, likeliest first.

    Raises:
        InputError: ``count`` is below one.
    """
    if count is not None and count < 1:
        raise InputError(f"got top_k {count}, expected at least 1")
    order = np.argsort(-np.asarray(probabilities), kind="stable")[:count]
    return [(labels[i], float(probabilities[i])) for i in order]


def _short(label: str) -> str:
    return repr(label if len(label) <= 40 else label[:37] + "...")
