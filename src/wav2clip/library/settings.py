"""What all rows of a library share."""

from __future__ import annotations

from dataclasses import dataclass

FORMAT = "wav2clip-library/1"


@dataclass(frozen=True)
class Settings:
    """What all rows of a library share.

    Attributes:
        model: name or path that the model was loaded as.
        fingerprint: of the model.
        dimension: numbers per vector.
        centred: digest of the mean that was subtracted from every vector, or "" for none.
        segment_seconds: see :func:`wav2clip.embedding.bulk.embed_segments`.
        overlap_seconds: the same.
        format: version of this layout.
    """

    model: str
    fingerprint: str
    dimension: int
    centred: str
    segment_seconds: float = 10.0
    overlap_seconds: float = 2.5
    format: str = FORMAT
