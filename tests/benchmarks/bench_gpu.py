"""What bounds an extraction on a GPU machine, and what `fit` takes there at UCF101's size.

    python tests/benchmarks/bench_gpu.py
    python tests/benchmarks/bench_gpu.py --readers pyav torchcodec-cuda
    python tests/benchmarks/bench_gpu.py --device cpu --small     # does it run?

ResNet-50 and a ViT-S of timm with random weights see generated clips, H.264 of 1920x1080 in MP4
and MPEG-4 of 320x240 in AVI, 16 frames at 224 px, in float32 and bfloat16: decoding alone, the
network alone, and `extract` as it is, with the share of time that the GPU is busy. Then `fit`
trains an LSTM, a GRU and a minGRU on 9,537 x 16 x 2,048 random features, in float32 and bfloat16.
"""

import argparse
import itertools
import os
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from actionrnn.process import prepare_process

prepare_process()

import numpy as np
import pandas as pd
import torch
from bench_video import moving_pictures

from actionrnn.cli import main as actionrnn
from actionrnn.datasets.manifest import Manifest
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import clips_of
from actionrnn.features.engine import DecoderPool
from actionrnn.features.extract import ensure_features
from actionrnn.features.machine import choose_device, num_cores
from actionrnn.features.resolve import imported_spec, resolved
from actionrnn.features.shard import Entry, write_shard
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.store import FeatureStore
from actionrnn.training.run import Fitted
from actionrnn.video.errors import VideoError
from actionrnn.video.reader import open_video
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform
from actionrnn.video.writer import write_video

NETWORKS = ("resnet50", "timm:vit_small_patch16_224")
VIDEOS = {
    "H.264 1920x1080": ((1080, 1920), "libx264", ".mp4"),
    "MPEG-4 320x240": ((240, 320), "mpeg4", ".avi"),
}
CELLS = ("lstm", "gru", "mingru")
DIM, CLASSES = 2048, 101


class Size(NamedTuple):
    """How much is measured: clips, frames a clip has and is sampled at, training clips, epochs."""

    clips: int
    video_frames: int
    sampled_frames: int
    train_clips: int
    epochs: int


WHOLE, SMALL = Size(512, 175, 16, 9537, 10), Size(2, 12, 2, 256, 2)


class GpuBusy:
    """The mean share of time that the GPU was busy in a `with` block; None where nobody says."""

    def __init__(self, device: str) -> None:
        self.share: float | None = None
        self._device = device
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        seen = []
        while not self._done.wait(0.1):
            seen.append(torch.cuda.utilization(self._device) / 100)
        self.share = fmean(seen) if seen else None

    def __enter__(self) -> "GpuBusy":
        if self._device.startswith("cuda"):
            torch.cuda.utilization(self._device)  # says here what is missing (nvidia-ml-py)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()


def dataset(root: Path, names: list[str], num_train: int) -> Manifest:
    """A prepared dataset of clips whose files bear their names."""
    labels = [f"class{number % CLASSES:03}" for number in range(len(names))]
    table = pd.DataFrame({"video_id": names, "path": names, "label": labels, "group": names})
    table["split1"] = ["train"] * num_train + ["val"] * (len(names) - num_train)
    table["content"] = ""
    manifest = Manifest(root, table, sorted(set(labels)))
    manifest.save()
    return manifest


def videos(root: Path, kind: str, size: Size) -> Manifest:
    """As many names of one generated clip: each is decoded by itself."""
    root.mkdir()
    shape, encoder, ending = VIDEOS[kind]
    names = [f"{number:05}{ending}" for number in range(size.clips)]
    write_video(root / names[0], moving_pictures(*shape, size.video_frames), 25, encoder)
    for name in names[1:]:
        os.link(root / names[0], root / name)
    return dataset(root, names, len(names))


def per_second(work: int, started: float) -> float:
    return work / (time.perf_counter() - started)


def decoding(manifest: Manifest, settings: FeatureSettings, workers: int) -> float:
    """Clips a second of the decoding processes alone, once they have loaded."""
    clips = clips_of(manifest, settings)
    with closing(DecoderPool(workers)) as decoders:
        for future in [decoders.submit(clips[0]) for _ in range(workers)]:
            future.result()
        started = time.perf_counter()
        for future in [decoders.submit(clip) for clip in clips]:
            future.result()
        return per_second(len(clips), started)


def computing(settings: FeatureSettings, device: str, num_clips: int) -> float:
    """Clips a second of the network alone, with pictures at hand."""
    runtime, side = settings.runtime, settings.transform.side
    with closing(FrozenBackbone(settings.backbone, device, runtime, side=side)) as backbone:
        count = settings.sampling.num_frames
        pictures = torch.zeros(backbone.batch_size, 3, side, side, dtype=torch.uint8)
        num_batches = -(-num_clips * count // backbone.batch_size)
        backbone.submit(pictures).result()
        started = time.perf_counter()
        for future in [backbone.submit(pictures) for _ in range(num_batches)]:
            future.result()
        return per_second(num_batches * backbone.batch_size, started) / count


def extraction(options: argparse.Namespace, root: Path, size: Size) -> None:
    """A line for every kind of video, reader, network and precision."""
    workers = options.num_workers or num_cores()
    manifests = {kind: videos(root / kind, kind, size) for kind in VIDEOS}
    sampling, transform = Sampling(num_frames=size.sampled_frames), Transform(size=224)
    for (name, manifest), reader in itertools.product(manifests.items(), options.readers):
        plain = FeatureSettings(sampling=sampling, transform=transform, reader=reader)
        try:
            open_video(manifest.root / manifest.table["path"][0], reader).close()
        except VideoError as error:
            print(f"{name} {reader}: {error.reason}")
            continue
        decoded = decoding(manifest, resolved(plain), workers)
        for network in NETWORKS:
            for runtime in ("torch",) if options.small else ("torch", "torch-bf16"):
                backbone = BackboneConfig(network, "random")
                settings = resolved(replace(plain, backbone=backbone, runtime=runtime))
                computed = computing(settings, options.device, size.clips)
                folder = Path(tempfile.mkdtemp(dir=root))
                started = time.perf_counter()
                with GpuBusy(options.device) as gpu:
                    ensure_features(
                        manifest, settings, folder, device=options.device, num_workers=workers,
                        progress=False,
                    )  # fmt: skip
                whole = per_second(size.clips, started)
                bound = "decoding" if decoded < computed else "the network"
                busy = "" if gpu.share is None else f", GPU busy {gpu.share:.0%}"
                print(
                    f"{name} {reader} {network} {runtime}: {whole:.1f} clips/s with start-up{busy}"
                    f"; decoding alone {decoded:.1f} ({workers} processes), network alone "
                    f"{computed:.1f}: {bound} bounds, {workers * computed / decoded:.1f} cores "
                    f"would balance",
                    flush=True,
                )


def training(options: argparse.Namespace, root: Path, size: Size) -> None:
    """A line for every cell and precision."""
    names = [f"c{number:05}" for number in range(size.train_clips + CLASSES)]
    dataset(root, names, size.train_clips)
    store = FeatureStore.create(root / "features", imported_spec("import:random"))
    draw = np.random.default_rng(0)
    for first in range(0, len(names), 512):
        entries = [Entry(name, "s", 16) for name in names[first : first + 512]]
        values = [draw.standard_normal((1, 16, DIM), np.float32) for _ in entries]
        write_shard(store.folder, list(zip(entries, values, strict=True)))
    for cell in CELLS:
        for precision in ("32-true", "bf16-mixed"):
            run = root / f"{cell}-{precision}"
            with GpuBusy(options.device) as gpu:
                code = actionrnn([
                    "fit", f"--data.root={root}", "--features.backbone.name=import:random",
                    f"--model.cell={cell}", f"--trainer.precision={precision}",
                    f"--trainer.accelerator={'gpu' if options.device != 'cpu' else 'cpu'}",
                    "--trainer.devices=1", f"--trainer.max_epochs={size.epochs}",
                    "--trainer.logger=false", f"--run.folder={run}",
                ])  # fmt: skip
            fitted = Fitted.load(run)
            assert code == 0
            assert fitted is not None
            busy = "" if gpu.share is None else f", GPU busy {gpu.share:.0%} with start-up"
            print(
                f"fit {cell} {precision}: {fitted.figures.seconds:.2f} s for "
                f"{fitted.figures.epochs} epochs of {size.train_clips} x 16 x {DIM}{busy}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--num_workers", type=int, default=None)
    parser.add_argument("--readers", nargs="+", default=["pyav"])
    parser.add_argument("--small", action="store_true", help="does it run? no figure to quote")
    options = parser.parse_args()
    options.device = choose_device(options.device)
    size = SMALL if options.small else WHOLE
    name = options.device if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    print(f"{name}, {num_cores()} cores, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        extraction(options, Path(folder), size)
        (Path(folder) / "training").mkdir()
        training(options, Path(folder) / "training", size)


if __name__ == "__main__":
    main()
