"""Numbers that others measured and published, to be quoted beside ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quoted:
    """A published figure.

    Attributes:
        model: what was measured.
        task: "zeroshot", "probe", "tagging", or "people".
        dataset: name of the data sheet.
        metric: as in :class:`wav2clip.evaluation.records.Record`.
        value: from 0 to 1.
        source: who published it.
    """

    model: str
    task: str
    dataset: str
    metric: str
    value: float
    source: str


_WAV2CLIP = "Wu et al. 2022, arXiv 2110.11499"
_HEAR = "Turian et al. 2022, arXiv 2203.03022"
_AUDIOCLIP = "Guzhov et al. 2022, arXiv 2106.13043"
_LAION = "Wu et al. 2023, arXiv 2211.06687"
_MS = "Elizalde et al. 2024, arXiv 2309.05767"
_PICZAK = "Piczak 2015"

QUOTED = (
    Quoted("Wav2CLIP", "zeroshot", "esc50", "accuracy", 0.414, _WAV2CLIP),
    Quoted("Wav2CLIP", "zeroshot", "urbansound8k", "accuracy", 0.404, _WAV2CLIP),
    Quoted("Wav2CLIP", "zeroshot", "fsd50k", "mAP", 0.030, _WAV2CLIP),
    Quoted("Wav2CLIP", "zeroshot", "vggsound", "accuracy", 0.100, _WAV2CLIP),
    Quoted("Wav2CLIP, classifier on top", "probe", "esc50", "accuracy", 0.86, _WAV2CLIP),
    Quoted(
        "Wav2CLIP, classifier on top (not verified)",
        "probe",
        "urbansound8k",
        "accuracy",
        0.81,
        _WAV2CLIP,
    ),
    Quoted("Wav2CLIP, classifier on top", "tagging", "fsd50k", "mAP", 0.431, _WAV2CLIP),
    Quoted("Wav2CLIP, classifier on top", "probe", "vggsound", "accuracy", 0.466, _WAV2CLIP),
    Quoted("Wav2CLIP, MLP probe of HEAR 2021", "probe", "esc50", "accuracy", 0.759, _HEAR),
    Quoted("Wav2CLIP, MLP probe of HEAR 2021", "tagging", "fsd50k", "mAP", 0.362, _HEAR),
    Quoted("AudioCLIP", "zeroshot", "esc50", "accuracy", 0.694, _AUDIOCLIP),
    Quoted("AudioCLIP", "zeroshot", "urbansound8k", "accuracy", 0.653, _AUDIOCLIP),
    Quoted("LAION-CLAP", "zeroshot", "esc50", "accuracy", 0.910, _LAION),
    Quoted("LAION-CLAP", "zeroshot", "urbansound8k", "accuracy", 0.770, _LAION),
    Quoted("LAION-CLAP", "zeroshot", "vggsound", "accuracy", 0.462, _LAION),
    Quoted("MS-CLAP 2023", "zeroshot", "esc50", "accuracy", 0.939, _MS),
    Quoted("MS-CLAP 2023", "zeroshot", "urbansound8k", "accuracy", 0.823, _MS),
    Quoted("MS-CLAP 2023", "zeroshot", "fsd50k", "mAP", 0.485, _MS),
    Quoted("people, by ear", "people", "esc50", "accuracy", 0.813, _PICZAK),
    Quoted("people, by ear", "people", "esc10", "accuracy", 0.957, _PICZAK),
    Quoted("k-NN on MFCC", "probe", "esc10", "accuracy", 0.667, _PICZAK),
    Quoted("random forest on MFCC", "probe", "esc10", "accuracy", 0.727, _PICZAK),
    Quoted("SVM on MFCC", "probe", "esc10", "accuracy", 0.675, _PICZAK),
)
"""Wav2CLIP by its authors and by HEAR 2021, its successors, and classical baselines."""
