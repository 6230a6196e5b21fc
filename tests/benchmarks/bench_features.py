"""How fast features are extracted, against the limit of the machine and against the usual way.

    python tests/benchmarks/bench_features.py --data ../shared/data --rounds 3
    python tests/benchmarks/bench_features.py --data ../shared/data --runtime openvino
    python tests/benchmarks/bench_features.py --runtimes resnet18 vit_b_16    # OpenVINO, of torch

Every figure is a ratio within one run: rounds alternate between the ways, medians are compared.
`limit` is the CPU time of decoding alone and of the backbone alone, over all cores. Where other
programs run beside it, compare `cpu`: the limit's CPU time over the engine's. The engine's figures
hold the start of its decoding processes (2 CPU seconds each), the limit's do not.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from actionrnn.process import prepare_process

if "--usual" not in sys.argv:
    prepare_process()

import pandas as pd
import torch
import torchvision

from actionrnn.datasets.manifest import Manifest
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_sources import clips_of
from actionrnn.features.extract import ensure_features
from actionrnn.features.machine import num_cores
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.features.weights import IMAGENET_MEAN, IMAGENET_STD
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

BATCH_CLIPS = 32


def fights(data: Path, count: int) -> Manifest:
    """`count` clips of the surveillance fights, evenly chosen; beyond 300 some repeat."""
    paths = sorted((data / "surveillance-fights").glob("*/*.mp4"))
    paths = [paths[k * len(paths) // count] for k in range(count)]
    table = pd.DataFrame(
        {
            "video_id": [f"{number}_{path.stem}" for number, path in enumerate(paths)],
            "path": [str(path.relative_to(data)) for path in paths],
            "label": [path.parent.name for path in paths],
        }
    )
    return Manifest(data, table.assign(split1="train"), ["fight", "noFight"])


def settings_of(options: argparse.Namespace, network: str) -> FeatureSettings:
    """16 frames of the whole picture, 224 px."""
    file = options.data / "weights" / f"{network}_imagenet.safetensors"
    return FeatureSettings(
        BackboneConfig(network, str(file) if file.is_file() else "random"),
        Sampling(num_frames=16),
        Transform(size=224, resize="squash"),
        options.reader,
        runtime=options.runtime,
    )


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of a call by a clock."""
    started = clock()
    work()
    return clock() - started


def decode_alone(manifest: Manifest, settings: FeatureSettings) -> float:
    """CPU seconds of decoding and resizing, in this process, by one thread."""
    requests = [clip.request for clip in clips_of(manifest, settings)]
    torch.set_num_threads(1)
    cost = seconds(lambda: [request.answer() for request in requests], time.process_time)
    torch.set_num_threads(num_cores())
    return cost


def backbone_alone(backbone: FrozenBackbone, count: int) -> float:
    """CPU seconds of the backbone on `count` clips of 16 frames that are in memory."""
    pictures = torch.randint(0, 256, (64, 3, 224, 224), dtype=torch.uint8)
    backbone(pictures)
    spent = seconds(lambda: [backbone(pictures) for _ in range(3)], time.process_time)
    return spent / 3 / 64 * 16 * count


def start(
    options: argparse.Namespace, count: int, *words: str, **environment: str
) -> "subprocess.Popen[bytes]":
    """One of the ways in a process of its own, whose memory is managed in its own way."""
    command = [sys.executable, __file__, "--data", str(options.data), "--clips", str(count)]
    return subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, env={**os.environ, **environment}
    )


def start_engine(
    options: argparse.Namespace,
    network: str,
    count: int,
    shard: str = "0/1",
    **environment: str,
) -> "subprocess.Popen[bytes]":
    """The engine in a process of its own."""
    words = ["--reader", options.reader, "--runtime", options.runtime]
    words += ["--engine", network, "--shard", shard]
    return start(options, count, *words, **environment)


def result(running: "subprocess.Popen[bytes]") -> dict[str, float]:
    """What it prints: wall and CPU seconds, memory."""
    found: dict[str, float] = json.loads(running.communicate()[0])
    return found


def run_engine(manifest: Manifest, settings: FeatureSettings, shard: str) -> None:
    """Extract once into a fresh folder, and print what it took."""
    share = tuple(int(part) for part in shard.split("/"))
    peaks: dict[int, float] = {}
    done = threading.Event()
    watch = threading.Thread(target=watch_children, args=(peaks, done))
    watch.start()
    with tempfile.TemporaryDirectory() as folder:
        before = os.times()
        wall = seconds(
            lambda: ensure_features(manifest, settings, Path(folder), progress=False, shard=share)
        )
        after = os.times()
    done.set()
    watch.join()
    cpu = sum(after[:4]) - sum(before[:4])
    worker = max(peaks.values())
    print(json.dumps({"wall": wall, "cpu": cpu, "own_mib": peak_mib("self"), "worker_mib": worker}))


def peak_mib(process: int | str) -> float:
    """Peak memory of a process (not `ru_maxrss`, which begins with that of the parent)."""
    text = Path(f"/proc/{process}/status").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def watch_children(peaks: dict[int, float], done: threading.Event) -> None:
    """Note the peak memory of every child process until done."""
    while not done.wait(0.5):
        for path in Path("/proc/self/task").glob("*/children"):
            for child in path.read_text().split():
                with contextlib.suppress(OSError, KeyError):  # it has just ended
                    peaks[int(child)] = peak_mib(child)


def usual_way(manifest: Manifest, network: str, channels_last: bool) -> None:
    """get_batch, float resize, an eager batch of 16; one clip after another. Prints its seconds.

    Args:
        manifest: the clips.
        network: of torchvision.
        channels_last: the batch in memory is as `permute` leaves frames, which is faster on CPUs,
            and not NCHW as `ToTensor` makes it.
    """
    from decord import VideoReader, cpu

    model = torchvision.models.get_model(network, weights=None).eval()
    trunk = torch.nn.Sequential(*list(model.children())[:-1])
    layout = torch.channels_last if channels_last else torch.contiguous_format
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))

    def work() -> None:
        for path in manifest.video_paths():
            video = VideoReader(str(path), ctx=cpu(0))
            indices = torch.linspace(0, len(video) - 1, 16).long().tolist()
            frames = torch.from_numpy(video.get_batch(indices).asnumpy()).permute(0, 3, 1, 2)
            pictures = torch.nn.functional.interpolate(
                frames.contiguous(memory_format=layout).float() / 255,
                (224, 224),
                mode="bilinear",
                antialias=True,
            )
            with torch.no_grad():
                trunk((pictures - mean) / std)

    print(json.dumps({"wall": seconds(work)}))


def epoch_from_store(manifest: Manifest, settings: FeatureSettings) -> float:
    """Wall seconds a clip of training an LSTM on stored features."""
    with tempfile.TemporaryDirectory() as folder:
        store = ensure_features(manifest, settings, Path(folder), progress=False)
        head = build_head(HeadConfig(), store.feature_dim, 2)
        optimizer = torch.optim.AdamW(head.parameters())
        ids = (store.video_ids * (320 // len(store.video_ids) + 1))[:320]
        positions = store.positions(ids)
        target = torch.zeros(BATCH_CLIPS, dtype=torch.long)

        def epoch() -> None:
            for rows in torch.randperm(len(ids)).split(BATCH_CLIPS):
                features, lengths = store.gather(positions[rows])
                optimizer.zero_grad()
                logits = head(features, lengths).logits_BK
                torch.nn.functional.cross_entropy(logits, target).backward()
                optimizer.step()

        epoch()
        return median(seconds(epoch) for _ in range(3)) / len(ids)


def compare(options: argparse.Namespace, network: str) -> None:
    """All the ways on one network."""
    manifest = fights(options.data, options.clips)
    settings = settings_of(options, network)
    backbone = FrozenBackbone(settings.backbone, runtime=settings.runtime)
    rows: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        decode = decode_alone(manifest, settings)
        compute = backbone_alone(backbone, options.clips)
        found = result(start_engine(options, network, options.clips))
        measured = {
            "decode_cpu": decode / options.clips,
            "backbone_cpu": compute / options.clips,
            "engine_wall": found["wall"] / options.clips,
            "engine_cpu": found["cpu"] / options.clips,
            "limit/engine wall": (decode + compute) / num_cores() / found["wall"],
            "limit/engine cpu": (decode + compute) / found["cpu"],
            "own_mib": found["own_mib"],
            "worker_mib": found["worker_mib"],
        }
        for layout in () if options.skip_usual else ("usual", "usual, channels_last"):
            words = ["--channels_last"] if "last" in layout else []
            usual = result(start(options, options.clips, "--usual", network, *words))["wall"]
            measured[f"{layout}/engine"] = usual / found["wall"]
        for name, value in measured.items():
            rows.setdefault(name, []).append(value)
    backbone.close()
    small = result(start_engine(options, network, options.clips // 5))["own_mib"]
    epoch = epoch_from_store(
        fights(options.data, 32), dataclasses.replace(settings, runtime="torch")
    )
    ways = f"{network}, {options.runtime}, {options.reader}"
    print(f"\n{ways}, {options.clips} clips, load {os.getloadavg()[0]:.1f}")
    for name, values in rows.items():
        each = "  ".join(f"{value:9.3f}" for value in values)
        print(f"  {name:27} {median(values):9.3f}    ({each})")
    print(f"  {'own_mib, a fifth':20} {small:9.3f}    (of {options.clips // 5} clips)")
    in_loop = median(rows["engine_wall"])
    print(f"  {'epoch, per clip':20} {epoch * 1e3:9.3f} ms; {in_loop / epoch:.0f}x faster than")
    print("     an epoch with decoding and backbone in the loop, at the engine's own speed")


def two_processes(options: argparse.Namespace) -> None:
    """One engine on all cores against two that share them."""
    ratios = []
    count = min(options.clips, 120)
    for _ in range(options.rounds):
        alone = result(start_engine(options, "mobilenet_v2", count))["wall"]
        running = [
            start_engine(options, "mobilenet_v2", count, shard=f"{rank}/2", LOCAL_WORLD_SIZE="2")
            for rank in range(2)
        ]
        ratios.append(alone / max(result(process)["wall"] for process in running))
    print(f"\none engine / the slower of two: {median(ratios):.2f}  {ratios}")


def compare_runtimes(networks: list[str], rounds: int) -> None:
    """Pictures a CPU second of OpenVINO's backbone against torch's, each in its own batches."""
    for network in networks:
        rates: dict[str, list[float]] = {"torch": [], "openvino": []}
        starts = {}
        for runtime, found in rates.items():
            began = time.process_time()
            backbone = FrozenBackbone(
                BackboneConfig(network, "random"), "cpu", runtime, side=224, num_threads=1
            )
            pictures = torch.randint(0, 256, (backbone.batch_size, 3, 224, 224), dtype=torch.uint8)
            backbone(pictures)
            starts[runtime] = time.process_time() - began
            for _ in range(2 * rounds):
                spent = seconds(lambda: backbone(pictures), time.process_time)  # noqa: B023
                found.append(len(pictures) / spent)
            backbone.close()
        torch_rate, openvino_rate = (median(found) for found in rates.values())
        print(
            f"{network}: openvino/torch {openvino_rate / torch_rate:.2f} "
            f"({openvino_rate:.0f} against {torch_rate:.0f} pictures a CPU second; ready after "
            f"{starts['openvino']:.1f} against {starts['torch']:.1f} CPU seconds)",
            flush=True,
        )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reader", default="auto")
    parser.add_argument("--runtime", default="torch")
    parser.add_argument("--networks", nargs="+", default=["mobilenet_v2", "resnet18"])
    parser.add_argument("--skip-two", action="store_true")
    parser.add_argument("--skip-usual", action="store_true", help="only against the limit")
    parser.add_argument("--runtimes", nargs="+", metavar="NETWORK", help="compare runtimes alone")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--usual", help=argparse.SUPPRESS)
    parser.add_argument("--channels_last", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        manifest = fights(options.data, options.clips)
        run_engine(manifest, settings_of(options, options.engine), options.shard)
        return
    if options.usual:
        usual_way(fights(options.data, options.clips), options.usual, options.channels_last)
        return
    if options.runtimes:
        compare_runtimes(options.runtimes, options.rounds)
        return
    for network in options.networks:
        compare(options, network)
    if not options.skip_two:
        two_processes(options)


if __name__ == "__main__":
    main()
