"""`--download` against a local HTTP server: checksums, resuming, unpacking, hostile archives."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tiny_datasets import MAKERS
from wav2clip.datasets.catalogue import SHEETS
from wav2clip.datasets.core import Remote, Sheet, open_dataset
from wav2clip.datasets.download import download, unpack
from wav2clip.errors import DataError, DownloadError


class Handler(SimpleHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("WAV2CLIP_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def address(served: Path) -> Iterator[str]:
    Handler.requests = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pack_zip(source: Path, target: Path, top: str = "") -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                archive.write(path, Path(top) / path.relative_to(source))


@pytest.fixture
def esc50(served: Path, address: str, tmp_path: Path) -> Sheet:
    MAKERS["esc50"](tmp_path / "made")
    pack_zip(tmp_path / "made", served / "ESC-50-master.zip", "ESC-50-master")
    digest = hashlib.md5((served / "ESC-50-master.zip").read_bytes()).hexdigest()
    remote = Remote(f"{address}/ESC-50-master.zip", "ESC-50-master.zip", f"md5:{digest}")
    return replace(SHEETS["esc50"], remotes=(remote,))


def test_download_verify_unpack_open(esc50: Sheet, tmp_path: Path) -> None:
    root = tmp_path / "esc50"
    seen: list[int] = []
    assert download(esc50, root, lambda done, _total: seen.append(done)) == []
    assert len(open_dataset(esc50, root).clips) == 40
    assert seen[-1] == (root / "ESC-50-master.zip").stat().st_size
    clip = next(root.rglob("*.wav"))
    clip.unlink()
    download(esc50, root)
    assert Handler.requests == ["/ESC-50-master.zip"]
    assert not clip.exists(), "what was unpacked once is the user's"


def test_another_checksum_is_refused(esc50: Sheet, served: Path, tmp_path: Path) -> None:
    with (served / "ESC-50-master.zip").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DownloadError, match=r"MD5 is .*expected .*the publisher's"):
        download(esc50, tmp_path / "esc50")
    assert not list((tmp_path / "esc50").rglob("*.csv"))


def test_without_a_checksum_the_first_download_counts(
    esc50: Sheet, served: Path, tmp_path: Path
) -> None:
    unhashed = replace(esc50, remotes=(replace(esc50.remotes[0], checksum=None),))
    root = tmp_path / "esc50"
    download(unhashed, root)
    (root / "ESC-50-master.zip").unlink()
    with (served / "ESC-50-master.zip").open("ab") as file:
        file.write(b"replaced upstream")
    with pytest.raises(DownloadError, match="the one recorded in"):
        download(unhashed, root)


def test_archives_that_python_cannot_unpack_are_left(
    served: Path, address: str, tmp_path: Path
) -> None:
    names = ("a.zip", "a.z01", "b.7z", "c.csv")
    for name in names:
        (served / name).write_bytes(name.encode())
    remotes = tuple(Remote(f"{address}/{name}", name) for name in names)
    root = tmp_path / "data"
    left = download(replace(SHEETS["fsd50k"], remotes=remotes), root)
    assert [path.name for path in left] == ["a.zip", "b.7z"]
    assert (root / "c.csv").read_bytes() == b"c.csv"


def test_nothing_to_fetch_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be fetched"):
        download(SHEETS["tuxpaint"], tmp_path)


def test_offline(esc50: Sheet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2CLIP_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"ESC-50-master.zip of ESC-50 is not cached"):
        download(esc50, tmp_path / "esc50")


def add(archive: tarfile.TarFile, name: str, content: bytes = b"x", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in fields.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../escaped", {}),
        ("a/../../escaped", {}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "../../escaped"}),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "../escaped"}),
        ("device", {"type": tarfile.CHRTYPE}),
    ],
)
def test_a_tar_that_leads_out_is_refused(
    tmp_path: Path, name: str, fields: dict[str, object]
) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as content:
        add(content, name, b"" if fields else b"x", **fields)
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, root)
    assert not list(root.iterdir())
    assert not (tmp_path / "deep" / "escaped").exists()


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a\\..\\..\\escaped", "C:/escaped"])
def test_a_zip_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("good.txt", "good")
        content.writestr(name, "evil")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(archive, root)
    assert not list(root.iterdir()), "nothing of it is kept"


@pytest.mark.parametrize("name", ["half.zip", "half.tar.gz"])
def test_a_damaged_archive_is_named(tmp_path: Path, name: str) -> None:
    MAKERS["esc50"](tmp_path / "made")
    archive = tmp_path / name
    if name.endswith(".zip"):
        pack_zip(tmp_path / "made", archive)
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    else:
        with tarfile.open(archive, "w:gz") as content:
            content.add(tmp_path / "made", "made")
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{name} cannot be unpacked"):
        unpack(archive, tmp_path)
