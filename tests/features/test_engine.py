"""The engine: one bad clip costs one clip; any division of the work gives the same features."""

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.features import engine, extract
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import Clip, clips_of
from actionrnn.features.engine import DecoderPool, Engine
from actionrnn.features.extract import ensure_features, extract_clip
from actionrnn.features.machine import num_cores
from actionrnn.features.resolve import spec_of
from actionrnn.features.spec import BackboneConfig, FeatureSettings, FeatureSpec
from actionrnn.features.store import FeatureStore
from actionrnn.video.decode import ClipFrames, ClipRequest
from actionrnn.video.errors import VideoError, VideoNotFound
from actionrnn.video.isolate import DecoderDied, DecodeWorker
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

SETTINGS = FeatureSettings(
    BackboneConfig("squeezenet1_1", "random"),
    Sampling("fps", num_frames=50, fps=12),  # clips of different length share batches
    Transform(size=48, resize="squash"),
)


@pytest.fixture
def manifest(copied: Callable[[slice], Manifest]) -> Manifest:
    return copied(slice(None, None, 6))


def same(first: FeatureStore, second: FeatureStore) -> bool:
    ids = first.video_ids
    return set(ids) == set(second.video_ids) and all(
        np.array_equal(first.read(name), second.read(name)) for name in ids
    )


def test_shares_resume_and_one_clip_alone_give_the_same_bits(
    manifest: Manifest, tmp_path: Path
) -> None:
    whole = ensure_features(manifest, SETTINGS, tmp_path / "whole", progress=False)
    for share in (2, 0, 1):
        part = ensure_features(
            manifest, SETTINGS, tmp_path / "parts", num_workers=1, shard=(share, 3), progress=False
        )
        assert set(manifest.table["video_id"][share::3]) <= set(part.video_ids)
    assert same(whole, part)
    backbone = FrozenBackbone(SETTINGS.backbone)
    assert len(set(whole.lengths.tolist())) > 1
    for name, path in zip(manifest.table["video_id"][:3], manifest.video_paths(), strict=False):
        assert np.array_equal(extract_clip(path, SETTINGS, backbone).numpy(), whole.read(name))


class Sabotaged(DecodeWorker):
    """Its process stops dead at the clip `victim`, and is killed there if `killed`."""

    victim = ""
    killed = False

    def ask(self, request):  # type: ignore[no-untyped-def]
        if request.path == self.victim:
            process = self._running()
            os.kill(process.pid, signal.SIGSTOP)
            self.timeout_seconds = 30.0 if self.killed else 0.5
            if self.killed:
                threading.Timer(0.3, process.kill).start()
        return super().ask(request)


@pytest.mark.slow
@pytest.mark.usefixtures("real_decoders")
@pytest.mark.parametrize("killed", [False, True], ids=["hangs", "dies"])
def test_a_clip_that_stops_its_decoder_costs_itself_alone(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr(Sabotaged, "victim", str(manifest.video_paths()[4]))
    monkeypatch.setattr(Sabotaged, "killed", killed)
    monkeypatch.setattr(engine, "DecodeWorker", Sabotaged)
    options = {"num_workers": 1, "progress": False}
    store = ensure_features(manifest, SETTINGS, tmp_path / "f", **options)
    (reason,) = store.failures.values()
    wanted = "crashed its process (SIGKILL)" if killed else "did not end within 0.5 s"
    assert wanted in reason
    assert reason.startswith("not read this time: ") == killed
    assert len(store.video_ids) == 9
    lines = (store.folder / "failures.csv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(manifest.table["video_id"][4])
    monkeypatch.setattr(Sabotaged, "victim", "")
    mates = ensure_features(manifest, SETTINGS, tmp_path / "f", retry_unread=False, **options)
    assert mates.failures == store.failures, "the first process of a run has just tried"
    again = ensure_features(manifest, SETTINGS, tmp_path / "f", **options)
    assert len(again.video_ids) == (10 if killed else 9)


class Mortal:
    """Answers as DecodeWorker does, and dies at random, as if something were killing processes."""

    chance = 0.4
    draw = random.Random(1)
    timeout_seconds = 0.0

    def __init__(self, loads: str) -> None:
        pass

    def start(self) -> None:
        pass

    def ask(self, request):  # type: ignore[no-untyped-def]
        if self.draw.random() < self.chance:
            raise DecoderDied(request.path, "the decoder crashed its process (SIGKILL)")
        return request.answer()

    def close(self) -> None:
        pass


def test_killed_decoders_cost_no_clip_for_good(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"num_workers": 2, "progress": False, "max_bad": 1.0}
    expected = ensure_features(manifest, SETTINGS, tmp_path / "g", **options)
    monkeypatch.setattr(engine, "DecodeWorker", Mortal)
    lost = []
    for _ in range(30):
        store = ensure_features(manifest, SETTINGS, tmp_path / "f", **options)
        assert set(store.video_ids) | set(store.failures) == set(expected.video_ids)
        assert all(r.startswith("not read this time: ") for r in store.failures.values())
        lost.append(len(store.failures))
        if not store.failures:
            break
    assert lost[0] > 0, "the seed spares nobody in the first run"
    assert lost[-1] == 0
    assert lost == sorted(lost, reverse=True)
    assert same(store, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("real_decoders")
@pytest.mark.parametrize("hundredths", [0, 30])
def test_decoders_without_memory_cost_no_clip_for_good(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hundredths: int
) -> None:
    """Their address space is limited to what they have, and a little more, once they run."""
    resource = pytest.importorskip("resource")

    class Starved(DecodeWorker):
        def ask(self, request):  # type: ignore[no-untyped-def]
            process = self._running()
            warm = ClipRequest(str(tmp_path / "none.mp4"), SETTINGS.sampling, SETTINGS.transform)
            with contextlib.suppress(VideoNotFound):
                super().ask(warm)
            status = Path(f"/proc/{process.pid}/status").read_text()
            used = int(status.split("VmSize:")[1].split()[0]) * 1024
            limit = used + used * hundredths // 1000
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            return super().ask(request)

    options = {"num_workers": 1, "progress": False, "max_bad": 1.0}
    few = Manifest(manifest.root, manifest.table.iloc[:2], manifest.class_names)
    expected = ensure_features(few, SETTINGS, tmp_path / "g", **options)
    monkeypatch.setattr(engine, "DecodeWorker", Starved)
    starved = ensure_features(few, SETTINGS, tmp_path / "f", **options)
    assert bool(starved.failures) or hundredths > 0
    assert all(r.startswith("not read this time: ") for r in starved.failures.values())
    for name in starved.video_ids:
        assert np.array_equal(starved.read(name), expected.read(name)), "whole or not at all"
    monkeypatch.setattr(engine, "DecodeWorker", DecodeWorker)
    assert same(ensure_features(few, SETTINGS, tmp_path / "f", **options), expected)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_read_when_it_may(
    manifest: Manifest, tmp_path: Path
) -> None:
    path = manifest.video_paths()[1]
    path.chmod(0)
    store = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1, progress=False)
    assert len(store.failures) == 1
    path.chmod(0o600)
    store = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1, progress=False)
    assert not store.failures


def test_two_datasets_in_one_folder_keep_their_own_features(
    manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their clips have the same names and are other videos."""
    options = {"num_workers": 1}
    shutil.copytree(manifest.root, tmp_path / "copy", ignore=lambda *_: ["f", "g", "h", "copy"])
    paths = manifest.table["path"].tolist()
    for path, other in zip(paths, paths[1:] + paths[:1], strict=True):
        shutil.copyfile(manifest.root / other, tmp_path / "copy" / path)
    copy = Manifest(tmp_path / "copy", manifest.table, manifest.class_names)
    expected = [
        ensure_features(manifest, SETTINGS, tmp_path / "g", **options),
        ensure_features(copy, SETTINGS, tmp_path / "h", **options),
    ]
    assert not same(*expected)
    for _ in range(2):
        capsys.readouterr()
        for number, one in enumerate((manifest, copy)):
            found = ensure_features(one, SETTINGS, tmp_path / "f", **options)
            assert same(found, expected[number])
    assert "to extract" not in capsys.readouterr().err, "each is computed once"


@pytest.mark.parametrize(("num_frames", "cut"), [(5, True), (50, False)])
def test_sampling_that_ends_before_the_clip_says_so(
    manifest: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    num_frames: int,
    cut: bool,
) -> None:
    settings = replace(SETTINGS, sampling=Sampling("fps", num_frames=num_frames, fps=12))
    store = ensure_features(manifest, settings, tmp_path / "f", num_workers=1)
    said = f"warning: the end of 10 of 10 clips is not seen: {num_frames} frames at 12 fps"
    assert (said in capsys.readouterr().err) == cut
    noted = [any("does not reach" in w for w in e.warnings) for e in store.entries.values()]
    assert noted == [cut] * 10


def test_failures_are_tried_again_when_asked(manifest: Manifest, tmp_path: Path) -> None:
    path = manifest.video_paths()[1]
    content, state = path.read_bytes(), path.stat()
    path.write_bytes(b"\0" * len(content))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    options = {"num_workers": 1, "progress": False}
    assert len(ensure_features(manifest, SETTINGS, tmp_path / "f", **options).failures) == 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert len(ensure_features(manifest, SETTINGS, tmp_path / "f", **options).failures) == 1
    again = ensure_features(manifest, SETTINGS, tmp_path / "f", retry_failed=True, **options)
    assert not again.failures


def test_content_tells_changed_files_when_asked(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"num_workers": 1, "progress": False, "check_content": True}
    ensure_features(manifest, SETTINGS, tmp_path / "f", **options)
    first = manifest.video_paths()[0]
    os.utime(first, (0, 0))  # touched, not changed
    with monkeypatch.context() as patch:
        patch.setattr(extract, "DecoderPool", pytest.fail)
        ensure_features(manifest, SETTINGS, tmp_path / "f", **options)
    state = first.stat()
    changed = bytearray(first.read_bytes())
    changed[-1] ^= 1  # changed, with the same size and time
    first.write_bytes(changed)
    os.utime(first, ns=(state.st_atime_ns, state.st_mtime_ns))
    before = len(list((tmp_path / "f").glob("*/*.safetensors")))
    ensure_features(manifest, SETTINGS, tmp_path / "f", **options)
    assert len(list((tmp_path / "f").glob("*/*.safetensors"))) == before + 1


def test_damaged_shards_are_named_and_their_clips_made_again(
    manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"num_workers": 1, "progress": False}
    for share in (0, 1):
        ensure_features(manifest, SETTINGS, tmp_path / "f", shard=(share, 2), **options)
    expected = ensure_features(manifest, SETTINGS, tmp_path / "g", **options)
    shard = sorted((tmp_path / "f").glob("*/*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    content[-5] ^= 4
    shard.write_bytes(content)
    capsys.readouterr()
    repaired = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1)
    talk = capsys.readouterr().err
    assert f"{shard} is damaged: its checksum differs; its clips are extracted again" in talk
    assert "features: 5 of 10 clips to extract" in talk
    assert same(repaired, expected)


def test_a_folder_that_cannot_be_written_is_said_before_work_begins(
    manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("a file, not a folder")
    with pytest.raises(ActionRNNError, match=r"cannot be written there .*--data\.features_dir"):
        ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=1, progress=False)


def test_features_too_large_for_their_type_are_failures_not_infinities(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = FrozenBackbone._batch
    monkeypatch.setattr(FrozenBackbone, "_batch", lambda self, x: submit(self, x) * 1e7)
    settings = replace(SETTINGS, dtype="float16")
    store = ensure_features(
        manifest, settings, tmp_path / "f", num_workers=1, max_bad=1.0, progress=False
    )
    assert "its features are not finite in float16" in next(iter(store.failures.values()))


class SlowDecoders(DecoderPool):
    """Decodes nothing: clips of noise, and counts how many are there at once."""

    def _decode(self, clip):  # type: ignore[no-untyped-def]
        frames = torch.zeros(1, 5, 3, 64, 64, dtype=torch.uint8)
        return ClipFrames(frames, [], [], "none", ()), ""


def test_memory_is_bounded_whatever_the_number_of_clips(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = clips_of(manifest, SETTINGS)
    backbone = FrozenBackbone(BackboneConfig("squeezenet1_1", "random"), batch_size=4)
    monkeypatch.setattr(engine, "MAX_WAITING_BYTES", 10 * 3 * 64 * 64)
    most = count = 0
    with closing(SlowDecoders(2)) as decoders:
        made = Engine(backbone, decoders, "float32", "record")
        for _entry, values in made.run(first for _ in range(60)):
            count += 1
            most = max(most, made._batcher.num_pictures)
            assert values is not None
            assert values.shape[:2] == (1, 5)
    assert count == 60
    assert most <= 10 + 3 * 5  # the limit, and the clips that were being decoded


def test_siblings_on_a_machine_share_its_cores() -> None:
    assert num_cores({"LOCAL_WORLD_SIZE": "100000"}) == 1


def test_waiting_for_a_slow_decoder_does_not_stop_the_others(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = str(manifest.video_paths()[0])
    ask = engine.DecodeWorker.ask

    def delayed(self, request):  # type: ignore[no-untyped-def]
        if request.path == slow:
            time.sleep(1.0)
        return ask(self, request)

    monkeypatch.setattr(engine.DecodeWorker, "ask", delayed)
    seen: list[str] = []
    publish = extract.publish

    def spy(folder, extracted, progress, about):  # type: ignore[no-untyped-def]
        def noted():  # type: ignore[no-untyped-def]
            for entry, values in extracted:
                seen.append(entry.video_id)
                yield entry, values

        publish(folder, noted(), progress, about)

    monkeypatch.setattr(extract, "publish", spy)
    ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=2, progress=False)
    assert seen[-1] == manifest.table["video_id"][0]


def test_decoding_does_not_wait_for_the_backbone_and_no_clip_is_decoded_twice(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    begun = threading.Event()
    decode = DecoderPool._decode

    def noted(pool: DecoderPool, clip: Clip) -> tuple[ClipFrames | VideoError, str]:
        decoded.append(clip.video_id)
        begun.set()
        return decode(pool, clip)

    def known(*arguments: object) -> FeatureSpec:
        assert begun.wait(60), "no clip is decoded while it is found out what the settings mean"
        return spec_of(*arguments)  # type: ignore[arg-type]

    def built(*arguments: object) -> FrozenBackbone:
        assert begun.wait(60), "no clip is decoded while the backbone is built"
        return FrozenBackbone(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(DecoderPool, "_decode", noted)
    monkeypatch.setattr(extract, "spec_of", known)
    monkeypatch.setattr(extract, "FrozenBackbone", built)
    store = ensure_features(manifest, SETTINGS, tmp_path / "f", num_workers=2)
    assert sorted(decoded) == sorted(store.video_ids) == sorted(manifest.table["video_id"])
