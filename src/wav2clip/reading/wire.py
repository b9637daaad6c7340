"""What goes between a process that reads files and who asks it.

A request is a line of JSON. An answer is a sequence of frames: a header, and bytes of the length
that it states. The last frame is :data:`END` or :data:`FAILED`.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("<cII")
"""Kind of the frame, bytes of its content, and columns (of samples: 0 for one dimension)."""

LARGEST = 2**30
"""Bytes of a frame's content; the largest picture has 300 MB."""

TOLD, SAMPLES, PIXELS, END, FAILED = b"T", b"S", b"P", b"E", b"F"
"""JSON; float32 (n,) or (n, columns); uint8 RGB (n, columns, 3); JSON of what is known at the end;
JSON with ``kind`` and ``message`` of an error."""

AUDIO, METADATA, IMAGE, IMAGE_SIZE, FRAMES = "audio", "metadata", "image", "image size", "frames"
EMBED = "embed"
"""What is asked for; the last by processes that embed alone."""

FAULTS = {
    AUDIO: "AudioError",
    METADATA: "AudioError",
    EMBED: "AudioError",
    IMAGE: "ImageError",
    IMAGE_SIZE: "ImageError",
    FRAMES: "DataError",
}
"""The class of :mod:`wav2clip.errors` for whatever goes wrong, by what was to be read."""

MEMORY = 4 * 2**30
"""Bytes of address space of a process that reads files, where the system can limit it."""
