"""From a finished run to a folder that can be put on a hub: weights, config and model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wav2clip.errors import DataError, InputError
from wav2clip.files import atomic_path, display
from wav2clip.models.background import BACKGROUND_FILE
from wav2clip.models.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Checkpoint, load_checkpoint
from wav2clip.models.config import AudioConfig, architecture
from wav2clip.pretrain.shards import disk_errors

CARD_FILE = "README.md"
_PLACES = ("", "checkpoint", "model", "best")
_UNKNOWN = "unknown"


def find_checkpoint(run: Path) -> Path:
    """The folder of a run, or in it, that holds its checkpoint.

    Raises:
        DataError: there is none.
    """
    for place in _PLACES:
        folder = run / place
        if (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
            return folder
    raise DataError(
        f"{display(run)} holds no checkpoint ({CONFIG_FILE} and {WEIGHTS_FILE}, there or in one of "
        f"{', '.join(_PLACES[1:])}); expected a run that `wav2clip pretrain fit` has finished"
    )


def publish(
    run: str | Path,
    out: str | Path,
    name: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``config.json``, ``model.safetensors`` and ``README.md`` for a hub.

    Everything in the card comes from the checkpoint, which carries the run's configuration, data
    and metrics; what a run did not record is not in the card.

    Args:
        run: folder of a run or of a checkpoint.
        out: folder to write; made if it is not there. ``wav2clip.load`` takes it.
        name: title of the card; by default the name of ``out``.
        licence: of the weights, as an SPDX identifier; by default what the run states.
        overwrite: replace what an earlier call wrote, the card with its edits included.

    Returns:
        ``out``.

    Raises:
        DataError: no checkpoint in ``run``, or ``out`` cannot be written.
        CheckpointError: the checkpoint is damaged.
        InputError: no licence is known, or ``out`` holds a card already.
    """
    source, out = find_checkpoint(Path(run)), Path(out)
    checkpoint = load_checkpoint(source)
    licence = licence or checkpoint.config.licence
    if licence == _UNKNOWN:
        raise InputError(
            f"{display(source)} states no licence for its weights; give one, such as CC-BY-4.0 "
            "(the licences of the training data decide what is possible)"
        )
    if (out / CARD_FILE).exists() and not overwrite:
        raise InputError(f"{display(out / CARD_FILE)} exists; choose another folder or overwrite")
    document = json.loads((source / CONFIG_FILE).read_text("utf-8")) | {"licence": licence}
    card = model_card(checkpoint, name or out.name, licence)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with atomic_path(out / WEIGHTS_FILE) as temporary:
            shutil.copyfile(source / WEIGHTS_FILE, temporary)
        if (source / BACKGROUND_FILE).is_file():
            with atomic_path(out / BACKGROUND_FILE) as temporary:
                shutil.copyfile(source / BACKGROUND_FILE, temporary)
        with atomic_path(out / CONFIG_FILE) as temporary:
            temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
        with atomic_path(out / CARD_FILE) as temporary:
            temporary.write_text(card, "utf-8")
    return out


def model_card(checkpoint: Checkpoint, name: str, licence: str) -> str:
    """The card as Markdown, with the header that the Hugging Face hub reads."""
    config, provenance = checkpoint.config, checkpoint.config.provenance
    sections = [
        _header(licence),
        f"# {name}\n\n{_summary(checkpoint)}",
        _usage(name),
        _data(provenance.get("data")),
        _recipe(provenance.get("config")),
        _metrics(provenance.get("metrics")),
        _limits(config),
        f"## Licence\n\nWeights: {licence}. The licences of the training sounds stay with them.",
        _CITATION,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _header(licence: str) -> str:
    # The hub knows licences by their SPDX identifiers in lower case.
    lines = [
        "---",
        "library_name: wav2clip",
        f"license: {json.dumps(licence.lower())}",
        "pipeline_tag: zero-shot-classification",
        "tags: [audio, sound, embedding, clip, zero-shot, wav2clip]",
        "---",
    ]
    return "\n".join(lines)


_NETWORKS = {
    "resnet18": "A residual network of {:.1f} million parameters over the log spectrogram",
    "mobilenet": "A MobileNet of {:.1f} million parameters over the log-mel spectrogram",
}


def _summary(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    parameters = sum(parameter.numel() for parameter in checkpoint.network.parameters())
    what = _NETWORKS[architecture(config.encoder)]
    return (
        f"An audio encoder in the space of {config.space}: {config.encoder.dimension} numbers per "
        "sound, comparable by cosine with that model's embeddings of pictures and words. "
        f"{what.format(parameters / 1e6)} of {config.frontend.sample_rate // 1000} kHz mono "
        "sound, distilled from frozen teachers as Wav2CLIP is from CLIP. Fingerprint "
        f"`{checkpoint.fingerprint}`."
    )


def _usage(name: str) -> str:
    return (
        "## Use\n\n```python\nimport wav2clip\n\n"
        f'model = wav2clip.load("{name}")  # the path of this folder\n'
        'model.embed_file("dog.ogg")  # (dimension,)\n'
        'model.classify("dog.ogg", ["dog", "rain"])\n```'
    )


def _data(data: Any) -> str:
    """Counts, teacher and failures out of the manifest of the shards."""
    if not isinstance(data, Mapping):
        return f"## Training data\n\n{data}" if data else ""
    rows = [
        (split, entry["samples"], f"{entry['hours']:.2f}")
        for split, entry in data.get("splits", {}).items()
    ]
    parts = ["## Training data", _table(("split", "clips", "hours"), rows)]
    if teacher := data.get("teacher"):
        parts.append(
            f"Targets: embeddings by {teacher['name']} (fingerprint `{teacher['fingerprint']}`, "
            f"space {teacher['space']}, {teacher['dimension']} dimensions), made once before "
            "training."
        )
    if tagger := data.get("tagger"):
        parts.append(
            f"Heard by {tagger['name']} (fingerprint `{tagger['fingerprint']}`, licence "
            f"{tagger['licence']}), a tagger of {len(tagger['labels'])} classes, whose "
            "probabilities were learnt through the text embeddings of their names."
        )
    if failures := data.get("failures"):
        count = failures if isinstance(failures, int) else len(failures)
        parts.append(f"{count} files could not be read and were left out.")
    if settings := data.get("settings"):
        parts += ["Preparation:", _table(("setting", "value"), list(_flat(settings)))]
    return "\n\n".join(part for part in parts if part)


def _recipe(config: Any) -> str:
    if not isinstance(config, Mapping):
        return ""
    table = _table(("setting", "value"), list(_flat(config)))
    return f"## Recipe\n\nTrained with `wav2clip pretrain fit`.\n\n{table}"


def _metrics(metrics: Any) -> str:
    """A table; of a list with one entry per epoch, the last one."""
    if isinstance(metrics, list) and metrics:
        metrics = metrics[-1]
    if not isinstance(metrics, Mapping):
        return ""
    return "## Measured\n\n" + _table(("what", "value"), list(_flat(metrics)))


def _limits(config: AudioConfig) -> str:
    return (
        "## Limits\n\n"
        "The encoder knows the kinds of sound that it was trained on, and ranks others badly. "
        "Cosines between a sound and a phrase are small and comparable only among each other: "
        "sounds and words lie in different parts of the space (the modality gap). It is no "
        f"detector of events for safety or surveillance. Sound above "
        f"{config.frontend.sample_rate // 2000} kHz is not heard."
    )


_CITATION = (
    "## Citation\n\nHo-Hsiang Wu, Prem Seetharaman, Kundan Kumar, Juan Pablo Bello: Wav2CLIP: "
    "Learning Robust Audio Representations From CLIP. ICASSP 2022, arXiv 2110.11499."
)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a nested mapping."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, f"{value:.4g}" if isinstance(value, float) else value


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return ""

    def line(cells: tuple[Any, ...]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), line(("---",) * len(head)), *map(line, rows)])
