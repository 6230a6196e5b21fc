"""Addresses are paths; what is read there is whole, kept within bounds, and never stale."""

import multiprocessing
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actionrnn import cache, places
from actionrnn.errors import Unreachable, UsageError
from actionrnn.files import publish_bytes, publish_text
from actionrnn.places import Address, at_hand, found, is_remote, listed, place, read, states


def put(address: str, content: bytes) -> Path:
    target = place(address)
    publish_bytes(target, content)
    return target


def test_an_address_is_joined_and_shown_like_a_path() -> None:
    root = place("s3://bucket/data")
    assert isinstance(root, Address)
    assert str(root / "features" / "a.mp4") == "s3://bucket/data/features/a.mp4"
    assert str((root / "a.mp4").parent) == "s3://bucket/data"
    assert (root / "a.mp4").suffix == ".mp4"
    assert str((root / "../videos/a.mp4").resolve()) == "s3://bucket/videos/a.mp4"
    assert place(Path("s3://bucket/data")) == root  # pathlib has made one slash of two
    assert pickle.loads(pickle.dumps(root)) == root
    assert root.resolve() == root.absolute() == root


@pytest.mark.parametrize("path", ["data/mine", "C:/videos", "hf:owner/name", "rtsp://camera/1"])
def test_all_else_is_a_local_path(path: str) -> None:
    assert not is_remote(path)
    assert type(place(path)) is type(Path())


def test_fsspec_is_not_imported_for_local_paths() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from actionrnn.places import at_hand, place\n"
        "with at_hand(place('setup.py')) as file: print(file, 'fsspec' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told == "setup.py False\n"


def test_credentials_in_an_address_are_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="do not belong in an address") as refused:
        place("s3://key:secret@bucket/data")
    assert "secret" not in str(refused.value)


def test_what_is_published_is_listed_and_read(memory: str) -> None:
    folder = place(memory)
    assert not folder.is_dir()
    assert listed(folder) == {}
    put(f"{memory}/a.txt", b"abcdef")
    put(f"{memory}/deep/b.txt", b"b")
    assert {name: each.num_bytes for name, each in listed(folder).items()} == {"a.txt": 6}
    assert [path.name for path in folder.iterdir()] == ["a.txt", "deep"]
    assert [str(path) for path in folder.glob("*/b.txt")] == [f"{memory}/deep/b.txt"]
    assert [path.name for path in folder.glob("*.txt")] == ["a.txt"]
    assert (folder / "a.txt").is_file()
    assert not (folder / "deep").is_file()
    assert (folder / "a.txt").read_text() == "abcdef"
    assert read(folder / "a.txt", 2, 4) == b"cd"
    wanted = [folder / "a.txt", folder / "deep" / "b.txt", folder / "none.txt"]
    assert set(states(wanted)) == set(wanted[:2])
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        (folder / "none.txt").read_text()
    with pytest.raises(OSError, match="are not made"):
        (folder / "new").mkdir(parents=True)


def test_a_copy_is_read_once_and_a_changed_object_again(memory: str, own_cache: Path) -> None:
    address = put(f"{memory}/a.mp4", b"first")
    for _ in range(2):
        with at_hand(address) as copy:
            assert copy.read_bytes() == b"first"
            assert copy.suffix == ".mp4"
    assert not copy.exists()
    assert len(list((own_cache / "kept").iterdir())) == 1
    put(f"{memory}/a.mp4", b"other")
    with at_hand(address) as copy:
        assert copy.read_bytes() == b"other"


def test_a_damaged_copy_is_made_again(memory: str, own_cache: Path) -> None:
    address = put(f"{memory}/a.mp4", b"content")
    with at_hand(address):
        pass
    (kept,) = (own_cache / "kept").iterdir()
    kept.write_bytes(b"cut")
    with at_hand(address) as copy:
        assert copy.read_bytes() == b"content"


def test_the_cache_drops_what_was_used_least_recently(
    memory: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, "0.00005")  # 50 kB
    addresses = [put(f"{memory}/{k}.mp4", bytes([k]) * 10_000) for k in range(12)]
    known = {path: found(path) for path in addresses}

    def use(number: int) -> None:
        path = addresses[number]
        with at_hand(path, known[path]) as copy:
            assert copy.read_bytes() == bytes([number]) * 10_000
        time.sleep(0.002)

    for number in range(12):
        use(number)
        use(0)
    sizes = [path.stat().st_size for path in (own_cache / "kept").iterdir()]
    assert 20_000 <= sum(sizes) <= 50_000
    first = {path.read_bytes()[0] for path in (own_cache / "kept").iterdir()}
    assert {0, 11} <= first
    assert 1 not in first
    assert not list((own_cache / "used").iterdir())


def test_what_is_in_use_is_not_dropped_and_what_is_too_large_is_not_kept(
    memory: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, "0.00001")
    large, small = put(f"{memory}/l.mp4", b"l" * 20_000), put(f"{memory}/s.mp4", b"s" * 9_000)
    with at_hand(small) as used:
        for number in range(3):
            with at_hand(put(f"{memory}/{number}.mp4", bytes(9_000))):
                pass
        with at_hand(large) as copy:
            assert len(copy.read_bytes()) == 20_000
        assert used.read_bytes() == b"s" * 9_000
    kept = [path.stat().st_size for path in (own_cache / "kept").iterdir()]
    assert sum(kept) <= 10_000


def _use_many(folder: str, failures: "multiprocessing.Queue[str]") -> None:
    os.environ[cache.FOLDER_VARIABLE] = folder
    os.environ[cache.SIZE_VARIABLE] = "0.00005"
    made = 0

    def fill(content: bytes) -> Callable[[Path], None]:
        def write(target: Path) -> None:
            nonlocal made
            made += 1
            target.write_bytes(content)

        return write

    try:
        for turn in range(60):
            content = bytes([turn % 9]) * 9_000
            with cache.kept_copy(f"{turn % 9}", ".x", 9_000, fill(content), lambda _: None) as copy:
                if copy.read_bytes() != content:
                    failures.put("another content")
    except BaseException as error:
        failures.put(repr(error))


def test_several_processes_share_one_cache(own_cache: Path) -> None:
    context = multiprocessing.get_context("spawn")  # a process with threads is not forked
    failures = context.Queue()
    workers = [context.Process(target=_use_many, args=(str(own_cache), failures)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert failures.empty()
    assert not list((own_cache / "used").iterdir())
    # Each process may add a little before it looks again, and what it is making just now.
    assert sum(path.stat().st_size for path in (own_cache / "kept").iterdir()) <= 50_000 + 4 * 9_000


def test_a_cache_that_cannot_be_used_says_so(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = put(f"{memory}/a.mp4", b"a")
    publish_text(tmp_path / "file", "")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "file"))
    with (
        pytest.raises(Unreachable, match=r"local copies cannot be kept.*ACTIONRNN_CACHE"),
        at_hand(address),
    ):
        pass
    monkeypatch.setenv(cache.SIZE_VARIABLE, "much")
    with pytest.raises(Unreachable, match="ACTIONRNN_CACHE_GB is 'much'"):
        cache.cache_bytes()


def test_a_storage_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    places._file_system.cache_clear()
    with pytest.raises(Unreachable, match=r"gs:// needs gcsfs: pip install gcsfs$"):
        found(place("gs://bucket/a"))


def test_a_storage_that_misses_credentials_says_so_wherever_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ValueError("Must provide either a connection_string or account_name")

    monkeypatch.setattr(pytest.importorskip("fsspec"), "filesystem", refused)
    places._file_system.cache_clear()
    address = place("az://bucket/a")
    refusal = r"az:// cannot be opened \(Must provide.*Give credentials by the storage's own tools"
    with pytest.raises(Unreachable, match=refusal):
        found(address)
    with pytest.raises(Unreachable, match=refusal):
        listed(address)
    with pytest.raises(Unreachable, match=refusal):
        places.below(address)
    with pytest.raises(Unreachable, match=refusal):
        publish_bytes(address, b"")
