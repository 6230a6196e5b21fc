"""Whatever happens to an extraction, what is done is kept and what is kept is whole."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features import shard
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore

SPEC = FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32)


def values_of(name: str) -> np.ndarray:
    seed = int(name.removeprefix("c"))
    return np.random.default_rng(seed).standard_normal((1, 4, 64)).astype(np.float32)


def check_whole(folder: Path) -> set[str]:
    """No shard is damaged, every clip has exactly its features; the clips."""
    store = FeatureStore.open(folder, verify=True)
    assert store.damaged == {}
    for name in store.video_ids:
        assert np.array_equal(store.read(name), values_of(name))
    return set(store.video_ids)


# Forks (after one import) a process that publishes shards without end, kills it at a random moment
# between and inside the writes, and says which clips the process knew to be published.
TRIALS = textwrap.dedent("""
    import os, random, signal, sys, time
    from pathlib import Path
    import numpy as np
    from actionrnn.features.shard import Entry, write_shard

    folder, trials = Path(sys.argv[1]), int(sys.argv[2])
    random.seed(int(sys.argv[3]))

    def publish(first, pipe):
        name = first
        while True:
            clips = []
            for k in range(name, name + 3):
                values = np.random.default_rng(k).standard_normal((1, 4, 64)).astype(np.float32)
                clips.append((Entry(f"c{k}", "s", 4), values))
            write_shard(folder, clips)
            os.write(pipe, f"{name}\\n".encode())
            name += 3

    for trial in range(trials):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            publish(trial * 100_000, write)
        os.close(write)
        time.sleep(random.uniform(0.0, random.choice([0.02, 0.15])))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(read) as told:
            for line in told:
                print(line.strip())
""")


KILLS = 150


@pytest.mark.slow
def test_kills_at_random_moments_corrupt_nothing(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path, SPEC)
    seed = str(random.SystemRandom().randrange(10**9))
    command = [sys.executable, "-c", TRIALS, str(store.folder), str(KILLS), seed]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    published = {f"c{int(first) + k}" for first in told for k in range(3)}
    found = check_whole(store.folder)
    assert published <= found, f"seed {seed}"
    assert len(found) - len(published) <= 3 * KILLS  # published, and killed before it was told
    assert len(published) > KILLS / 4


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = FeatureStore.create(tmp_path, SPEC).folder

    def write(first: int) -> None:
        for name in range(first, first + 20):
            write_shard(folder, [(Entry(f"c{name}", "s", 4), values_of(f"c{name}"))])

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10, 20)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        check_whole(folder)  # and a reader beside them never sees half a shard
    assert check_whole(folder) == {f"c{k}" for k in range(40)}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ENOSPC", r"the disk is full .* run the same command again: what is done is kept"),
        ("EROFS", r"cannot be written there .* --data.features_dir"),
        ("EACCES", r"cannot be written there .* --data.features_dir"),
    ],
)
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_writing_that_fails_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str, where: str
) -> None:
    import errno

    folder = FeatureStore.create(tmp_path, SPEC).folder
    write_shard(folder, [(Entry("c1", "s", 4), values_of("c1"))])
    before = sorted(os.listdir(folder))
    number = getattr(errno, code)

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, where, fail)
    with pytest.raises(ActionRNNError, match=message):
        write_shard(folder, [(Entry("c2", "s", 4), values_of("c2"))])
    monkeypatch.undo()
    assert sorted(os.listdir(folder)) == before
    assert check_whole(folder) == {"c1"}


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no memory file system")
def test_a_file_size_limit_stands_for_a_disk_that_fills_up(tmp_path: Path) -> None:
    folder = FeatureStore.create(tmp_path, SPEC).folder
    script = textwrap.dedent("""
        import resource, signal, sys
        import numpy as np
        from pathlib import Path
        from actionrnn.features.shard import Entry, write_shard
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        clips = [(Entry("c1", "s", 4), np.zeros((1, 4, 4096), np.float32))]
        try:
            write_shard(Path(sys.argv[1]), clips)
        except Exception as error:
            print(type(error).__name__, error)
    """)
    told = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    assert "ActionRNNError" in told.stdout
    assert os.listdir(folder) == ["spec.json"]


def test_every_flipped_byte_of_a_shard_is_found(tmp_path: Path) -> None:
    folder = FeatureStore.create(tmp_path, SPEC).folder
    path = write_shard(folder, [(Entry("c1", "s", 4), values_of("c1"))])
    content = path.read_bytes()
    for position in random.Random(0).sample(range(len(content)), 60):
        damaged = bytearray(content)
        damaged[position] ^= 1 << random.Random(position).randrange(8)
        path.write_bytes(damaged)
        assert list(FeatureStore.open(folder, verify=True).damaged) == [path], position
    path.write_bytes(content)
    assert check_whole(folder) == {"c1"}


def test_a_flipped_byte_of_an_index_is_found_without_verifying(tmp_path: Path) -> None:
    folder = FeatureStore.create(tmp_path, SPEC).folder
    path = write_shard(folder, [(Entry("c1", "s", 4), values_of("c1"))])
    content = path.read_bytes()
    place = content.index(b"c1")
    path.write_bytes(content[:place] + b"c2" + content[place + 2 :])
    assert "the checksum of its index differs" in FeatureStore.open(folder).damaged[path]


def test_a_shard_of_a_clock_that_was_ahead_does_not_hide_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FeatureStore.create(tmp_path, SPEC).folder
    now = time.time_ns()
    monkeypatch.setattr(shard.time, "time_ns", lambda: now + 10**12)
    write_shard(folder, [(Entry("c1", "old", error="broken"), None)])
    monkeypatch.setattr(shard.time, "time_ns", lambda: now)
    write_shard(folder, [(Entry("c1", "new", 4), values_of("c1"))])
    assert check_whole(folder) == {"c1"}


@pytest.mark.slow
def test_an_interrupted_run_ends_soon_and_keeps_what_is_done(
    tiny_data: Path, tmp_path: Path
) -> None:
    script = textwrap.dedent("""
        import signal, sys
        # A shell that runs the tests in the background has its children ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from pathlib import Path
        from actionrnn.datasets.manifest import Manifest
        from actionrnn.features import engine, extract
        from actionrnn.features.spec import BackboneConfig, FeatureSettings
        from actionrnn.video.sampling import Sampling
        from actionrnn.video.transform import Transform
        settings = FeatureSettings(
            BackboneConfig("squeezenet1_1", "random"),
            Sampling(num_frames=2),
            Transform(size=64, resize="squash"),
        )
        waiting = engine.Engine._decoded
        def slow(self, *args):
            print("clip", flush=True)
            import time; time.sleep(0.3)
            return waiting(self, *args)
        engine.Engine._decoded = slow
        extract.ensure_features(Manifest.load(sys.argv[1]), settings, Path(sys.argv[2]))
    """)
    command = [sys.executable, "-c", script, str(tiny_data), str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    for _ in range(25):
        process.stdout.readline()
    sent = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, talk = process.communicate(timeout=30)
    seconds = time.monotonic() - sent
    assert process.returncode != 0
    assert seconds < 10
    assert "what is done is kept, the next run continues" in talk
    (folder,) = tmp_path.iterdir()
    store = FeatureStore.open(folder, verify=True)
    assert 4 <= len(store.video_ids) < len(Manifest.load(tiny_data).table)
    assert not store.damaged
    assert not store.failures, "clips that were being decoded are not failures"


# In a mount namespace of its own: a small file system that is full at another byte every time,
# then one that is mounted read-only.
REAL_DISKS = textwrap.dedent("""
    import gc, os, random, subprocess, sys
    from pathlib import Path
    import numpy as np
    from actionrnn.errors import ActionRNNError
    from actionrnn.features.shard import Entry, write_shard
    from actionrnn.features.spec import FeatureSettings, FeatureSpec
    from actionrnn.features.store import FeatureStore

    disk, trials = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(int(sys.argv[3]))
    folder = FeatureStore.create(disk, FeatureSpec(FeatureSettings(), "decord 0.6.0", "00" * 32))
    folder = folder.folder
    known, full = set(), 0
    for trial in range(trials):
        status = os.statvfs(disk)
        free = status.f_bavail * status.f_frsize
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(max(0, free - draw.randrange(0, 40_000))))
        values = np.random.default_rng(trial).standard_normal((1, 4, 1024)).astype(np.float32)
        try:
            write_shard(folder, [(Entry(f"c{trial}", "s", 4), values)])
            known.add(trial)
        except ActionRNNError as error:
            assert "the disk is full" in str(error), error
            full += 1
        ballast.unlink()
        assert not list(folder.glob(".*")), "nothing half-written stays"
        store = FeatureStore.open(folder, verify=True)
        assert not store.damaged
        assert {int(name[1:]) for name in store.video_ids} == known
        for number in known:
            values = np.random.default_rng(number).standard_normal((1, 4, 1024)).astype(np.float32)
            assert np.array_equal(store.read(f"c{number}"), values)
        if len(known) > 10:  # space for the next trials
            for path in folder.glob("*.safetensors"):
                path.unlink()
            known.clear()
    del store  # a file that is deleted and still mapped keeps the disk writable
    gc.collect()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        write_shard(folder, [(Entry("new", "s", 4), values)])
    except ActionRNNError as error:
        assert "cannot be written there (Read-only file system)" in str(error), error
    else:
        raise AssertionError("it was written")
    assert {int(name[1:]) for name in FeatureStore.open(folder).video_ids} == known
    print(full)
""")


ISOLATED = ("unshare", "--user", "--map-root-user", "--mount")


@pytest.mark.slow
def test_a_disk_that_is_really_full_or_read_only_loses_nothing(tmp_path: Path) -> None:
    seed = str(random.SystemRandom().randrange(10**9))
    inside = 'mount -t tmpfs -o size=1m tmpfs "$1" || exit 77; shift; exec "$@"'
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [sys.executable, "-c", REAL_DISKS, str(disk), "300", seed]
    try:
        run = subprocess.run(
            [*ISOLATED, "sh", "-c", inside, "sh", disk, *command],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if run.returncode == 77 or "unshare" in run.stderr:
        pytest.skip(f"no file system can be mounted here: {run.stderr.strip()}")
    assert run.returncode == 0, f"seed {seed}: {run.stderr}"
    assert 50 < int(run.stdout) < 300, "some trials were full, some were not"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_extractions_killed_at_random_moments_two_at_once_lose_nothing(
    tiny_data: Path, tmp_path: Path
) -> None:
    seed = str(random.SystemRandom().randrange(10**9))
    script = str(Path(__file__).with_name("fault_trials.py"))
    command = [sys.executable, script, str(tiny_data), str(tmp_path), "--trials", "8"]
    run = subprocess.run([*command, "--seed", seed], capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"seed {seed}: {run.stderr}"
    found = json.loads(run.stdout)
    assert found["killed"] + found["interrupted"] + found["finished"] == 16
    assert found["killed"] >= 1  # which signal comes when is chance
    # The moments are drawn from the time that an unbroken run takes here and now.
    assert found["clips_kept"] > 0
