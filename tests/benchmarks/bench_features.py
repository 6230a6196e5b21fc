"""How fast features are extracted, against the limit of the machine and against the usual way.

    python tests/benchmarks/bench_features.py --data ../shared/data --rounds 3

Every figure is a ratio within one run: rounds alternate between the ways, medians are compared.
`limit` is the CPU time of decoding alone and of the backbone alone, over all cores. Where other
programs run beside it, compare `cpu`: the limit's CPU time over the engine's. The engine's figures
hold the start of its decoding processes (2 CPU seconds each), the limit's do not.
"""

import argparse
import contextlib
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

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does

import pandas as pd
import torch
import torchvision

from actionrnn.datasets.manifest import Manifest
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.extract import clips_of, ensure_features
from actionrnn.features.machine import num_cores
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

BATCH_CLIPS = 32


def fights(data: Path, count: int) -> Manifest:
    """`count` clips of the surveillance fights, evenly chosen."""
    paths = sorted((data / "surveillance-fights").glob("*/*.mp4"))
    paths = [paths[k * len(paths) // count] for k in range(count)]
    table = pd.DataFrame(
        {
            "video_id": [path.stem for path in paths],
            "path": [str(path.relative_to(data)) for path in paths],
            "label": [path.parent.name for path in paths],
        }
    )
    return Manifest(data, table.assign(split1="train"), ["fight", "noFight"])


def settings_of(data: Path, network: str, runtime: str) -> FeatureSettings:
    """16 frames of the whole picture, 224 px."""
    file = data / "weights" / f"{network}_imagenet.safetensors"
    backbone = BackboneConfig(network, str(file) if file.is_file() else "random")
    transform = Transform(size=224, resize="squash")
    return FeatureSettings(backbone, Sampling(num_frames=16), transform, runtime=runtime)


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


def engine(
    arguments: list[str], network: str, runtime: str, **environment: str
) -> dict[str, float]:
    """The engine in a process of its own: wall and CPU seconds, memory."""
    command = [sys.executable, __file__, *arguments, "--engine", network, runtime]
    run = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, text=True, env={**os.environ, **environment}
    )
    found: dict[str, float] = json.loads(run.stdout)
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


def usual_way(manifest: Manifest, network: str, count: int) -> float:
    """Wall seconds a clip: get_batch, float resize, an eager batch of 16; one after another."""
    from decord import VideoReader, cpu

    model = torchvision.models.get_model(network, weights=None).eval()
    trunk = torch.nn.Sequential(*list(model.children())[:-1])
    paths = [str(path) for path in manifest.video_paths()]
    paths = [paths[k * len(paths) // count] for k in range(count)]

    def work() -> None:
        for path in paths:
            video = VideoReader(path, ctx=cpu(0))
            indices = torch.linspace(0, len(video) - 1, 16).long().tolist()
            frames = torch.from_numpy(video.get_batch(indices).asnumpy())
            pictures = frames.permute(0, 3, 1, 2).float() / 255
            pictures = torch.nn.functional.interpolate(
                pictures, (224, 224), mode="bilinear", antialias=True
            )
            with torch.no_grad():
                trunk(pictures)

    return seconds(work) / count


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


def compare(options: argparse.Namespace, network: str, arguments: list[str]) -> None:
    """All the ways on one network."""
    manifest = fights(options.data, options.clips)
    settings = settings_of(options.data, network, options.runtime)
    backbone = FrozenBackbone(settings.backbone, runtime=options.runtime)
    few = min(30, options.clips)
    rows: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        decode = decode_alone(manifest, settings)
        compute = backbone_alone(backbone, options.clips)
        found = engine([*arguments, "--shard", "0/1"], network, options.runtime)
        usual = usual_way(manifest, network, few)
        measured = {
            "decode_cpu": decode / options.clips,
            "backbone_cpu": compute / options.clips,
            "engine_wall": found["wall"] / options.clips,
            "engine_cpu": found["cpu"] / options.clips,
            "usual_wall": usual,
            "limit/engine wall": (decode + compute) / num_cores() / found["wall"],
            "limit/engine cpu": (decode + compute) / found["cpu"],
            "usual/engine": usual * options.clips / found["wall"],
            "own_mib": found["own_mib"],
            "worker_mib": found["worker_mib"],
        }
        for name, value in measured.items():
            rows.setdefault(name, []).append(value)
    backbone.close()
    fifth = [*arguments[:2], "--clips", str(options.clips // 5), "--shard", "0/1"]
    small = engine(fifth, network, options.runtime)["own_mib"]
    epoch = epoch_from_store(fights(options.data, 32), settings)
    print(f"\n{network}, {options.runtime}, {options.clips} clips, load {os.getloadavg()[0]:.1f}")
    for name, values in rows.items():
        each = "  ".join(f"{value:9.3f}" for value in values)
        print(f"  {name:20} {median(values):9.3f}    ({each})")
    print(f"  {'own_mib, a fifth':20} {small:9.3f}    (of {options.clips // 5} clips)")
    in_loop = median(rows["engine_wall"])
    print(f"  {'epoch, per clip':20} {epoch * 1e3:9.3f} ms; {in_loop / epoch:.0f}x faster than")
    print("     an epoch with decoding and backbone in the loop, at the engine's own speed")


def two_processes(options: argparse.Namespace, arguments: list[str]) -> None:
    """One engine on all cores against two that share them."""
    ratios = []
    for _ in range(options.rounds):
        alone = engine([*arguments, "--shard", "0/1"], "mobilenet_v2", options.runtime)["wall"]
        command = [sys.executable, __file__, *arguments, "--engine", "mobilenet_v2"]
        running = [
            subprocess.Popen(
                [*command, options.runtime, "--shard", f"{rank}/2"],
                stdout=subprocess.PIPE,
                env={**os.environ, "LOCAL_WORLD_SIZE": "2"},
            )
            for rank in range(2)
        ]
        walls = [json.loads(process.communicate()[0])["wall"] for process in running]
        ratios.append(alone / max(walls))
    print(f"\none engine / the slower of two: {median(ratios):.2f}  {ratios}")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", default="torch")
    parser.add_argument("--networks", nargs="+", default=["mobilenet_v2", "resnet18"])
    parser.add_argument("--skip-two", action="store_true")
    parser.add_argument("--engine", nargs=2)
    parser.add_argument("--shard", default="0/1")
    options = parser.parse_args()
    if options.engine:
        manifest = fights(options.data, options.clips)
        run_engine(manifest, settings_of(options.data, *options.engine), options.shard)
        return
    arguments = ["--data", str(options.data), "--clips", str(options.clips)]
    for network in options.networks:
        compare(options, network, arguments)
    if not options.skip_two:
        two_processes(options, [*arguments[:2], "--clips", str(min(options.clips, 120))])


if __name__ == "__main__":
    main()
