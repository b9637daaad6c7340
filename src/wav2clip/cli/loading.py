"""What the commands that load a model share: options that say where and how it computes."""

from __future__ import annotations

from typing import Annotated

import typer

DeviceOption = Annotated[
    str,
    typer.Option("--device", help="cpu, cuda, cuda:1 ..., or as `wav2clip doctor` lists."),
]

_ENGINE = "What runs the network: torch, onnx, onnx-int8 or auto; see `wav2clip doctor`."
_PRECISION = "Of the torch engine: float32, bfloat16 or float16."
_OWN = "the library's own, {} for a new one"

EngineOption = Annotated[str, typer.Option("--engine", help=_ENGINE)]
PrecisionOption = Annotated[str, typer.Option("--precision", help=_PRECISION)]
LibraryEngineOption = Annotated[
    str | None, typer.Option("--engine", help=_ENGINE, show_default=_OWN.format("auto"))
]
LibraryPrecisionOption = Annotated[
    str | None, typer.Option("--precision", help=_PRECISION, show_default=_OWN.format("float32"))
]
