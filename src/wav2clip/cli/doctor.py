"""`wav2clip doctor`: what works on this machine, and how fast."""

from __future__ import annotations

from typing import Annotated

import typer

EXTRAS = {
    "torch": ("torch",),
    "onnx": ("onnx", "torch"),
    "clip": ("transformers",),
    "pretrain": ("lightning", "webdataset"),
    "evaluation": ("sklearn", "matplotlib", "umap"),
    "generation": ("kornia",),
    "cluster": ("ray",),
    "web": ("fastapi", "uvicorn"),
}
"""Extras, and the packages whose presence tells that they are installed."""


def doctor(
    model: Annotated[
        str, typer.Option(help="Name (`wav2clip models`) or path of a checkpoint.")
    ] = "builtin",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say which engines work here, how fast and how exact each is, and what is installed.

    Example: `wav2clip doctor`

    The exit code is 1 if the default engine does not work.
    """
    import platform

    from rich.table import Table

    from wav2clip import __version__, runtime
    from wav2clip.cli import console
    from wav2clip.downloads import cache_folder
    from wav2clip.embedding.diagnosis import examine
    from wav2clip.models.checkpoint import load_checkpoint
    from wav2clip.models.registry import locate

    with console.download_bar(f"fetching {model}") as progress:
        checkpoint = load_checkpoint(locate(model, progress))
    with console.err.status("trying the engines"):
        engines = examine(checkpoint)
    facts = {
        "wav2clip": __version__,
        "python": platform.python_version(),
        "onnxruntime": _onnxruntime(),
        "torch": _version("torch") or "not installed (pip install 'wav2clip[torch]')",
        "threads": str(runtime.threads()),
        "processor": platform.machine(),
        "cuda": _graphics_card(),
        "extras": ", ".join(name for name, packages in EXTRAS.items() if _installed(packages)),
        "cache": str(cache_folder()),
    }
    if as_json:
        console.print_json({**facts, "engines": [engine.as_dict() for engine in engines]})
    else:
        for name, value in facts.items():
            console.out.print(f"{name:>12}  {value}", soft_wrap=True, highlight=False, markup=False)
        table = Table("engine", "5 s alone", "in eights", "speed", "cosine", "note")
        for engine in engines:
            table.add_row(*engine.cells(engines[0]))
        console.out.print(table)
    if engines[0].problem is not None:
        raise typer.Exit(1)


def _onnxruntime() -> str:
    from wav2clip.models.sessions import devices_here

    devices = devices_here()
    if not devices:
        return "not installed"
    import onnxruntime  # one of several packages, which have versions of their own

    return f"{onnxruntime.__version__}, for {', '.join(devices)}"


def _graphics_card() -> str:
    if _version("torch") is None:
        return "needs PyTorch"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _installed(packages: tuple[str, ...]) -> bool:
    from importlib.util import find_spec

    return all(find_spec(package) is not None for package in packages)
