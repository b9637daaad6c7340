"""The rooms and their one-way imports, read from the syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "wav2clip"

MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "runtime": {"errors"},
    "audio": {"errors", "files"},
    "downloads": {"errors", "files"},
    "models": {"errors", "runtime", "files", "audio", "downloads"},
    "reading": {"errors", "files", "audio", "models"},
    "ranking": set(),
    "zeroshot": {"errors", "files", "models"},
    "embedding": {
        "errors",
        "runtime",
        "files",
        "audio",
        "downloads",
        "models",
        "reading",
        "zeroshot",
    },
    "datasets": {"errors", "files", "audio", "downloads"},
    "library": {
        "errors",
        "runtime",
        "files",
        "audio",
        "downloads",
        "models",
        "reading",
        "embedding",
        "zeroshot",
    },
    "pretrain": {"errors", "files", "audio", "models", "reading", "datasets", "ranking"},
    "evaluation": {
        "errors",
        "files",
        "audio",
        "downloads",
        "models",
        "reading",
        "embedding",
        "zeroshot",
        "datasets",
        "ranking",
    },
    "generation": {"errors", "files", "audio", "downloads", "models", "embedding"},
    "adapters": {"errors", "files", "audio", "models", "embedding"},
    "cluster": {"errors", "runtime", "files", "audio", "models", "reading", "embedding", "library"},
}
"""Room -> rooms that it may import. `cli`, `web` and the package's own front may import all."""

FREE = {"cli", "web", "__init__", "__main__"}


def room(path: Path) -> str:
    part = path.relative_to(SOURCE).parts[0]
    return part.removesuffix(".py")


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imported_rooms(path: Path) -> set[tuple[str, int]]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports from wav2clip in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "wav2clip" and len(parts) > 1:
                found.add((parts[1], node.lineno))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    own = room(path)
    if own in FREE:
        return
    assert own in MAY_IMPORT, f"a new room: say in this test what {own} may import"
    for other, line in imported_rooms(path):
        allowed = other == own or other in MAY_IMPORT[own] or other == "__version__"
        assert allowed, f"{path.relative_to(SOURCE)}:{line}: {own} may not import {other}"


def test_the_order_has_no_cycles() -> None:
    def depth(name: str, seen: tuple[str, ...] = ()) -> int:
        assert name not in seen, f"cycle: {seen}"
        return 1 + max((depth(other, (*seen, name)) for other in MAY_IMPORT[name]), default=0)

    assert max(map(depth, MAY_IMPORT)) < 9


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_the_command_line_and_the_page_print_or_exit(path: Path) -> None:
    if room(path) in {"cli", "web", "__main__"} or path.name == "child.py":  # a process of its own
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            where = f"{path.relative_to(SOURCE)}:{node.lineno}"
            assert called not in {"print", "exit", "sys.exit", "quit", "os._exit"}, where


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_loads_pickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            where = f"{path.relative_to(SOURCE)}:{node.lineno}"
            assert called not in {"pickle.load", "pickle.loads", "eval", "exec"}, where
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called == "torch.load":
                assert keywords.get("weights_only") == "True", where
            if called == "np.load":
                assert keywords.get("allow_pickle", "False") == "False", where


@pytest.mark.parametrize("command", [["-c", "import wav2clip"], ["-m", "wav2clip", "--help"]])
def test_starting_loads_no_torch(command: list[str]) -> None:
    """The times are in benchmarks/startup.py; what decides them is what is imported."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[1].strip() for line in result.stderr.splitlines() if "|" in line}
    heavy = {"torch", "numpy", "transformers", "lancedb", "pyarrow", "av", "soundfile"}
    heavy |= {"lightning", "ray"}
    assert not loaded & heavy
    assert "wav2clip" in loaded


def test_public_names_exist_and_are_documented() -> None:
    import wav2clip

    for name in wav2clip.__all__:
        assert getattr(wav2clip, name) is not None
        if name != "__version__":
            assert getattr(wav2clip, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        wav2clip.nonsense  # noqa: B018
