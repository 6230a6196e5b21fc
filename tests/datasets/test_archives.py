"""Archives of strangers: what is safe comes out whole, what is not leaves nothing behind."""

import gzip
import io
import os
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rarfile

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.source import archives
from actionrnn.datasets.source.archives import ArchiveError, extract, find_archives
from actionrnn.datasets.source.locate import DatasetCard, open_source
from actionrnn.datasets.source.names import inside

CARD = DatasetCard("tiny", "Tiny", "https://example.org", "MIT", "1 KB", "a.mp4")


def zipped(path: Path, members: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return path


def tarred(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


def assert_nothing_left(folder: Path) -> None:
    assert not (folder / "out").exists()
    assert not list(folder.glob(".*"))


def test_zip_tar_and_rar_come_out_whole(tmp_path: Path, make_rar: Callable[..., Path]) -> None:
    members = {"a/b c.mp4": b"one", "#20_$HOME;x.avi": b"two"}
    for number, archive in enumerate(
        (
            zipped(tmp_path / "1.zip", members),
            tarred(tmp_path / "2.tar.gz", members),
            make_rar(tmp_path / "3.rar", members),
        )
    ):
        folder = extract([archive], tmp_path / f"out{number}")
        files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*")}
        assert files == members


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "is not relative"),
        ("../up.mp4", "leads outside"),
        ("a/../../up.mp4", "leads outside"),
        ("C:/x.mp4", "is not relative"),
        ("a\\b.mp4", "holds a backslash"),
        ("a\nb.mp4", "holds control characters"),
        ("a\x1b[31mb.mp4", "holds control characters"),
        ("a" * 300, "is too long"),
        ("a/" * 600 + "b.mp4", "is too long"),
    ],
)
def test_names_that_lead_outside_are_rejected(tmp_path: Path, name: str, reason: str) -> None:
    for archive in (
        zipped(tmp_path / "x.zip", {"ok.mp4": b"1", name: b"2"}),
        tarred(tmp_path / "x.tgz", {"ok.mp4": b"1", name: b"2"}),
    ):
        with pytest.raises(ArchiveError, match=rf"x\.(zip|tgz): member .* {reason}.*; rejected"):
            extract([archive], tmp_path / "out")
        assert_nothing_left(tmp_path)


def test_links_and_devices_are_rejected(tmp_path: Path, make_rar: Callable[..., Path]) -> None:
    link = {"link.mp4": b"/etc/passwd"}
    for archive in (
        zipped(tmp_path / "x.zip", link, {"link.mp4": stat.S_IFLNK | 0o777}),
        tarred(tmp_path / "s.tgz", {"link.mp4": b""}, tarfile.SYMTYPE),
        tarred(tmp_path / "h.tgz", {"link.mp4": b""}, tarfile.LNKTYPE),
        tarred(tmp_path / "d.tgz", {"link.mp4": b""}, tarfile.CHRTYPE),
        make_rar(tmp_path / "x.rar", link, link="link.mp4"),
    ):
        with pytest.raises(ArchiveError, match="is a link or a device; rejected"):
            extract([archive], tmp_path / "out")
        assert_nothing_left(tmp_path)


def test_bombs_are_stopped_while_they_unpack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED_BYTES", 1 << 16)
    for archive in (
        zipped(tmp_path / "x.zip", {"a.avi": bytes(20 << 20)}),
        tarred(tmp_path / "x.tgz", {"a.avi": bytes(20 << 20)}),
    ):
        with pytest.raises(ArchiveError, match=r"member 'a\.avi': unpacks to more than 100 times"):
            extract([archive], tmp_path / "out")
        assert_nothing_left(tmp_path)
    inner = zipped(tmp_path / "i.zip", {"a.avi": bytes(1 << 20)}).read_bytes()
    nested = zipped(tmp_path / "n.zip", {f"{k}.zip": inner for k in range(40)})
    with pytest.raises(ArchiveError, match="a bomb; rejected"):
        extract([nested], tmp_path / "out")
    assert_nothing_left(tmp_path)


def test_too_many_members_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED_MEMBERS", 1000)
    empty = {f"{k}.mp4": b"" for k in range(1100)}
    deep = {"a/" * 400 + f"{k}.mp4": b"" for k in range(10)}
    for members in (empty, deep):
        archive = tarred(tmp_path / "x.tgz", members)
        with pytest.raises(ArchiveError, match=r"member .*too many members .*a bomb; rejected"):
            extract([archive], tmp_path / "out")
        assert_nothing_left(tmp_path)
    for number in range(40):
        zipped(tmp_path / f"{number}.zip", {f"{k}.mp4": b"" for k in range(40)})
    inner = {f"{k}.zip": (tmp_path / f"{k}.zip").read_bytes() for k in range(40)}
    with pytest.raises(ArchiveError, match="too many members"):
        extract([zipped(tmp_path / "n.zip", inner)], tmp_path / "out")
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_tar_header_without_end_costs_no_memory(tmp_path: Path, kind: bytes) -> None:
    """It says 1 TiB and holds 64 MiB of it; what is read of it is counted, not believed."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 1 << 40
    with gzip.open(tmp_path / "x.tgz", "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(ArchiveError, match=r"x\.tgz: a header of more than 1 MiB"):
        extract([tmp_path / "x.tgz"], tmp_path / "out")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16 << 20
    assert_nothing_left(tmp_path)


def test_a_sparse_member_counts_what_it_becomes(tmp_path: Path) -> None:
    """A pax header makes a file of 1 GiB out of nothing."""
    info = tarfile.TarInfo("a.mp4")
    info.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 30)}
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="a bomb; rejected"):
        extract([tmp_path / "x.tar"], tmp_path / "out")
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_members_larger_than_a_header_come_out_of_every_kind_of_tar(
    tmp_path: Path, ending: str
) -> None:
    content = np.random.default_rng(0).bytes(3 << 20)
    names = ["a" * 200 + ".mp4", "é/" + "b" * 150 + "/c.mp4"]  # in headers of their own
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}[ending]
    with tarfile.open(tmp_path / f"x.{ending}", mode) as archive:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0
            archive.addfile(info, io.BytesIO(content))
    folder = extract([tmp_path / f"x.{ending}"], tmp_path / "out")
    for name in names:
        assert (folder / name).read_bytes() == content
        assert (folder / name).stat().st_mode & 0o444, "readable, whatever the archive says"


def test_a_name_that_occurs_twice_is_rejected(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for content in (b"1", b"2"):
            info = tarfile.TarInfo("a.mp4")
            info.size = 1
            archive.addfile(info, io.BytesIO(content))
    folder_too = zipped(tmp_path / "x.zip", {"a.mp4/b.mp4": b"1", "a.mp4": b"2"})
    for path in (tmp_path / "x.tar", folder_too):
        with pytest.raises(ArchiveError, match=r"member 'a\.mp4' is there twice; rejected"):
            extract([path], tmp_path / "out")
        assert_nothing_left(tmp_path)


def test_archives_in_archives(tmp_path: Path, make_rar: Callable[..., Path]) -> None:
    inner = make_rar(tmp_path / "wave.rar", {"wave/a.avi": b"a"}).read_bytes()
    outer = make_rar(tmp_path / "all.rar", {"wave.rar": inner, "jump/b.avi": b"b"})
    folder = extract([outer], tmp_path / "out")
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*")) == [
        "jump/b.avi",
        "wave/wave/a.avi",
    ]
    for depth in range(4):
        inner = zipped(tmp_path / f"d{depth}.zip", {f"d{depth}.zip": inner}).read_bytes()
    with pytest.raises(ArchiveError, match="deeper than 3"):
        extract([tmp_path / "d3.zip"], tmp_path / "deep")
    assert not (tmp_path / "deep").exists()


def test_numbered_parts_are_one_archive(tmp_path: Path) -> None:
    whole = tarred(tmp_path / "x.tgz", {"v2/1.webm": bytes(range(256)) * 40}).read_bytes()
    (tmp_path / "x.tgz").unlink()
    third = len(whole) // 3 + 1
    for number in range(3):
        part = tmp_path / f"20bn-something-something-v2-{number:02d}"
        part.write_bytes(whole[number * third : (number + 1) * third])
    (found,) = find_archives(tmp_path)
    assert len(found) == 3
    folder = extract(found, tmp_path / "out")
    assert (folder / "v2" / "1.webm").read_bytes() == bytes(range(256)) * 40


def test_numbered_parts_in_zips_of_their_own(tmp_path: Path) -> None:
    whole = tarred(tmp_path / "x.tgz", {"v2/1.webm": b"one", "v2/2.webm": b"two"}).read_bytes()
    (tmp_path / "x.tgz").unlink()
    half = len(whole) // 2
    for number, part in enumerate((whole[:half], whole[half:])):
        name = f"20bn-something-something-v2-{number:02d}"
        zipped(tmp_path / f"{name}.zip", {name: part})
    (found,) = find_archives(tmp_path)
    folder = extract(found, tmp_path / "out")
    assert sorted(path.name for path in folder.rglob("*.webm")) == ["1.webm", "2.webm"]


def test_a_damaged_archive_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    whole = tarred(tmp_path / "x.tgz", {"a.avi": bytes(range(256)) * 4000})
    whole.write_bytes(whole.read_bytes()[:-400])
    with pytest.raises(ArchiveError, match=r"x\.tgz: damaged"):
        extract([whole], tmp_path / "out")
    assert_nothing_left(tmp_path)
    (tmp_path / "y.zip").write_bytes(b"no archive")
    with pytest.raises(ArchiveError, match=r"y\.zip: damaged, or not an archive"):
        extract([tmp_path / "y.zip"], tmp_path / "out")


def test_rar_without_a_program_says_what_to_install(
    tmp_path: Path, make_rar: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise rarfile.RarCannotExec("no tool")

    monkeypatch.setattr(rarfile.RarFile, "open", fails)
    with pytest.raises(ArchiveError, match=r"install unrar, unar.*or unpack it yourself"):
        extract([make_rar(tmp_path / "x.rar", {"a.avi": b"1"})], tmp_path / "out")
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(("answer", "fault"), [("content", ""), ("nonsense", "damaged")])
def test_compressed_rars_come_out_through_a_program(
    answer: str,
    fault: str,
    tmp_path: Path,
    make_rar: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-in for bsdtar: what it prints is the member, if the archive's checksum agrees."""
    program = tmp_path / "bin" / "bsdtar"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] || printf {answer}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(rarfile, "CURRENT_SETUP", None)
    only = {"unrar": False, "unar": False, "bsdtar": True, "sevenzip": False, "sevenzip2": False}
    rarfile.tool_setup(**only, force=True)
    archive = make_rar(tmp_path / "x.rar", {"a/b.avi": b"content"}, method=0x33)
    if fault:
        with pytest.raises(ArchiveError, match=fault):
            extract([archive], tmp_path / "out")
        assert not (tmp_path / "out").exists()
    else:
        assert (extract([archive], tmp_path / "out") / "a/b.avi").read_bytes() == b"content"


def test_compressed_rars_without_any_program_say_what_to_install(
    tmp_path: Path, make_rar: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rarfile, "CURRENT_SETUP", None)
    archive = make_rar(tmp_path / "x.rar", {"a.avi": b"1"}, method=0x33)
    with pytest.raises(ArchiveError, match=r"install unrar, unar.*or unpack it yourself"):
        extract([archive], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_an_interrupted_run_left_is_cleared(tmp_path: Path) -> None:
    stale = tmp_path / ".out.unpacking"
    stale.mkdir()
    (stale / "half.mp4").touch()
    folder = extract([zipped(tmp_path / "x.zip", {"a.mp4": b"1"})], tmp_path / "out")
    assert [path.name for path in folder.iterdir()] == ["a.mp4"]


def test_a_source_is_unpacked_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    zipped(source / "x.zip", {"v/a.mp4": b"1"})
    for _ in range(2):
        files = open_source(CARD, source, tmp_path / "root")
        assert [path.name for path in files.videos()] == ["a.mp4"]
    assert capsys.readouterr().err.count("unpacking") == 1
    zipped(source / "x.zip", {"v/a.mp4": b"1", "v/b.mp4": b"2"})
    with pytest.raises(ManifestError, match="was unpacked from another file"):
        open_source(CARD, source, tmp_path / "root")


def test_annotation_names_stay_inside() -> None:
    assert inside("a/b c.avi", "list.txt, line 1") == "a/b c.avi"
    with pytest.raises(ManifestError, match=r"^list.txt, line 7: the file name '' is empty"):
        inside("", "list.txt, line 7")
