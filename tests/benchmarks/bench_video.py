"""CPU seconds per clip of reading 16 uniform frames at 224 px, against other ways of doing it.

    python tests/benchmarks/bench_video.py [VIDEO ...]     # default: generated clips
    python tests/benchmarks/bench_video.py --opens 2000    # memory and handles over many clips

Every way is timed in turn in one process, several times over, and the medians are compared:
ratios hold on a shared machine where seconds do not. CPU time counts every thread.
"""

import argparse
import gc
import importlib.util
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import torch

from actionrnn.video.decode import read_clip
from actionrnn.video.reader import open_video, reader_names
from actionrnn.video.sampling import Sampling, sample_uniform
from actionrnn.video.transform import Transform
from actionrnn.video.writer import write_video

SAMPLING, TRANSFORM = Sampling(num_frames=16), Transform(size=224)
GENERATED = {  # name: size, frames, codec, options
    "ucf101_like.avi": ((240, 320), 175, "mpeg4", {"bf": "2", "g": "12", "b": "600000"}),
    "kinetics_like.mp4": ((256, 340), 300, "libx264", {"preset": "medium"}),
    "hd.mp4": ((720, 1280), 150, "libx264", {"preset": "medium"}),
}


def moving_pictures(height: int, width: int, num_frames: int) -> Iterator[np.ndarray]:
    """A textured scene that pans, with a body crossing it: what codecs are made for."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (1, 3, height // 8, width // 4))).float()
    scene = torch.nn.functional.interpolate(coarse, (height, 2 * width), mode="bicubic")
    pixels = scene.clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
    for index in range(num_frames):
        left = index * (width - 1) // num_frames
        frame = pixels[:, left : left + width].copy()
        x = index * 3 % (width - width // 8)
        frame[height // 3 : 2 * height // 3, x : x + width // 8] = (200, 60, 30)
        yield frame


def decord_get_batch(path: str) -> object:
    """The usual call: fast where it seeks, and wrong on many files."""
    import decord

    video = decord.VideoReader(path, num_threads=1)
    return video.get_batch(sample_uniform(len(video), 16)).asnumpy()


def decord_sequential(path: str) -> object:
    """Decode alone with decord, every frame in turn."""
    import decord

    video = decord.VideoReader(path, num_threads=1)
    wanted = set(sample_uniform(len(video), 16))
    frames = [video.next() for _ in range(max(wanted) + 1)]
    return np.stack([frames[index].asnumpy() for index in sorted(wanted)])


def pyav_sequential(path: str) -> object:
    """Decode alone with PyAV; the count is taken from the header."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        wanted = set(sample_uniform(stream.frames or 10**6, 16))
        decoded = itertools.islice(container.decode(stream), max(wanted) + 1)
        return [f.to_ndarray(format="rgb24") for i, f in enumerate(decoded) if i in wanted]


def opencv_sequential(path: str) -> object:
    """Decode alone with OpenCV, converting only the frames asked for."""
    import cv2

    cv2.setNumThreads(1)
    video = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    wanted = set(sample_uniform(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 16))
    frames = []
    for index in range(max(wanted) + 1):
        video.grab()
        if index in wanted:
            frames.append(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
    video.release()
    return frames


def ours(reader: str, resized: bool) -> Callable[[str], object]:
    """Our reader, alone or with the resize."""

    def read(path: str) -> object:
        if resized:
            return read_clip(path, SAMPLING, TRANSFORM, reader)
        video = open_video(path, reader)
        frames = video.read(SAMPLING.indices(video.num_frames, video.timestamps_seconds)[0])
        video.close()
        return frames

    return read


def naive_float(path: str) -> object:
    """Ours, then resized as most code does: float first, then an antialiased resize."""
    from torchvision.transforms.v2 import functional as F

    frames = ours("auto", resized=False)(path)
    frames_NCHW = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    return F.center_crop(F.resize(frames_NCHW, [256], antialias=True), [224, 224])


def contenders() -> dict[str, Callable[[str], object]]:
    """Every way of reading that is installed here, by name."""
    ways: dict[str, Callable[[str], object]] = {}
    if "decord" in reader_names():
        ways["decord alone, sequential"] = decord_sequential
        ways["decord alone, get_batch (inexact)"] = decord_get_batch
    ways["PyAV alone, sequential"] = pyav_sequential
    if importlib.util.find_spec("cv2"):
        ways["OpenCV alone, sequential"] = opencv_sequential
    for reader in reader_names():
        ways[f"ours, {reader}, frames only"] = ours(reader, resized=False)
        ways[f"ours, {reader}, 224 px"] = ours(reader, resized=True)
    ways["ours, then naive float 224 px"] = naive_float
    return ways


def cpu_seconds(ways: dict[str, Callable[[str], object]], path: str, repeats: int) -> dict:
    """Median CPU seconds of each way; the ways take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for name in list(ways):
        try:
            ways[name](path)  # warm: imports, file cache
        except Exception as error:  # a decoder that cannot: said, and left out
            print(f"    {name}: {str(error).splitlines()[0][:90]}", file=sys.stderr)
            del taken[name]
    for _ in range(repeats):
        for name in taken:
            start = time.process_time()
            ways[name](path)
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def compare(paths: list[str], repeats: int) -> None:
    """Print one table a video, relative to the first way; of several also decord's part of PyAV."""
    ways = contenders()
    ratios = []
    for path in paths:
        seconds = cpu_seconds(ways, path, repeats)
        if not seconds:
            continue
        base = next(iter(seconds.values()))
        named = [seconds.get(f"ours, {reader}, 224 px") for reader in ("decord", "pyav")]
        if all(named):
            ratios.append(named[0] / named[1])
        print(f"\n{Path(path).name}: CPU ms per clip of 16 frames, median of {repeats}")
        for name, value in seconds.items():
            print(f"  {name:<36}{1000 * value:8.1f} ms {value / base:6.2f}x")
    if len(ratios) > 1:
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"\ndecord's CPU time of PyAV's, {len(ratios)} files: median "
            f"{statistics.median(ratios):.2f} ({spread})"
        )


def resident_mib() -> float:
    """Memory of this process that is not shared with files, in MiB."""
    fields = Path("/proc/self/status").read_text().split("RssAnon:")[1].split()
    return int(fields[0]) / 1024


def stay_flat(paths: list[str], opens: int) -> None:
    """Open clip after clip; print memory and file handles on the way."""
    for reader in reader_names():
        print(f"\n{reader}: {opens} clips opened, read and closed")
        for number in range(opens + 1):
            if number in {20, opens // 4, opens // 2, 3 * opens // 4, opens}:
                gc.collect()
                handles = len(os.listdir("/proc/self/fd"))
                print(f"  after {number:5d}: {resident_mib():7.1f} MiB, {handles} handles")
            read_clip(paths[number % len(paths)], SAMPLING, TRANSFORM, reader)


def main() -> None:
    """Parse, make the clips, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", help="files to read (default: generated)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--opens", type=int, default=0, help="measure memory over so many clips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.abspath(path) for path in options.videos]
        for name, (size, num_frames, codec, encoding) in GENERATED.items() if not paths else ():
            path = Path(folder, name)
            write_video(path, moving_pictures(*size, num_frames), 25, codec, encoding)
            options.videos.append(str(path))
        paths = paths or options.videos
        if options.opens:
            stay_flat(paths, options.opens)
        else:
            compare(paths, options.repeats)


if __name__ == "__main__":
    main()
