"""`actionrnn doctor`: what this machine has, what is missing, and the command that brings it."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch

from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.commands.recipes import config_folder
from actionrnn.errors import ActionRNNError
from actionrnn.features.machine import num_cores
from actionrnn.memory import memory_bytes
from actionrnn.training.run_folder import installed_version
from actionrnn.version import __version__
from actionrnn.video.errors import VideoError
from actionrnn.video.reader import open_video, reader_names
from actionrnn.video.writer import write_video

TAKES_VERB = False
PACKAGES = (
    "torch", "torchvision", "pytorch-lightning", "jsonargparse", "torchmetrics", "decord", "av",
    "torchcodec", "numpy", "pandas", "pyarrow", "safetensors", "timm", "openvino", "onnx",
    "onnxruntime", "onnxscript", "huggingface_hub", "optuna", "captum", "matplotlib", "rarfile",
)  # fmt: skip


# Pictures that grow brighter, so that a wrong frame shows.
TINY_VIDEO = range(0, 240, 20)


class Codec(NamedTuple):
    """A kind of video file that people have, and how a tiny one is made."""

    title: str
    encoder: str
    ending: str
    options: dict[str, str]


CODECS = (
    Codec("H.264 in MP4", "libx264", ".mp4", {}),
    Codec("HEVC in MP4", "libx265", ".mp4", {"x265-params": "log-level=none"}),
    Codec("MPEG-4 in AVI (as UCF101, HMDB51)", "mpeg4", ".avi", {}),
    Codec("VP9 in WebM", "libvpx-vp9", ".webm", {}),
    Codec("AV1 in MP4", "libsvtav1", ".mp4", {"preset": "13"}),
    Codec("MJPEG in AVI", "mjpeg", ".avi", {"strict": "unofficial"}),
)


class Need(NamedTuple):
    """What some verbs need beyond the core: packages by the module they bring, and the extra."""

    verbs: str
    modules: tuple[str, ...]
    extra: str


NEEDS = (
    Need("prepare, of rar archives (hmdb51)", ("rarfile",), "archives"),
    Need("explain; figures of diagnose and report", ("matplotlib", "captum"), "explain"),
    Need("export", ("onnx", "onnxruntime", "onnxscript"), "export"),
    Need("share --push, load hf:owner/name", ("huggingface_hub",), "share"),
    Need("sweep", ("optuna",), "sweep"),
    Need("extract --runtime openvino, export --to openvino", ("openvino",), "openvino"),
    Need("backbones timm:NAME", ("timm",), "timm"),
    Need("extract, fit and predict of s3:// addresses", ("fsspec", "s3fs"), "remote"),
    Need("extract --engine ray", ("ray",), "ray"),
    Need("notebooks/", ("jupyterlab", "nbclient"), "notebooks"),
)


def main(arguments: list[str]) -> int:
    """Look, and say; exit code 1 if something that everything needs is broken."""
    parser = verb_parser("doctor")
    parser.add_argument("--json", action="store_true", help="for bug reports")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="where data and runs would be written"
    )
    options = options_of(parser, arguments)
    found = examine(options.folder)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)
    return 1 if found["broken"] else 0


def examine(folder: Path) -> dict[str, Any]:
    """All that is known of this machine, as plain data.

    `broken` names what everything needs and does not work; `missing` what single verbs need.
    """
    decoders = decoders_by_codec()
    folders = writable_folders(folder)
    broken = []
    if not any(result == "ok" for result in decoders["H.264 in MP4"].values()):
        broken.append("no decoder reads H.264: pip install --force-reinstall av")
    broken += [f"{each['path']} cannot be written: {each['error']}" for each in folders.values()
               if each["error"]]  # fmt: skip
    try:
        recipes = str(config_folder())
    except ActionRNNError as error:
        recipes = ""
        broken.append(str(error))
    return {
        "actionrnn": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        "gpus": gpus(),
        "driver": driver(),
        "cores": num_cores(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": memory_gib(),
        "decoders": decoders,
        "folders": folders,
        "weights_cache": weights_cache(),
        "recipes": recipes,
        "missing": missing(),
        "broken": broken,
    }


def decoders_by_codec() -> dict[str, dict[str, str]]:
    """For every codec and installed decoder: `ok`, or why a tiny file of it is not read exactly."""
    found: dict[str, dict[str, str]] = {}
    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 writes its settings to stderr
    frames = [np.full((64, 64, 3), brightness, np.uint8) for brightness in TINY_VIDEO]
    with tempfile.TemporaryDirectory() as folder:
        for number, codec in enumerate(CODECS):
            path = Path(folder, f"{number}{codec.ending}")
            try:
                write_video(path, frames, 25, codec.encoder, codec.options)
            except (av.FFmpegError, ValueError, OSError) as error:
                found[codec.title] = {"all": f"no encoder here to make a sample ({error})"}
                continue
            found[codec.title] = {name: _decoded(path, name) for name in reader_names()}
    return found


def _decoded(path: Path, reader: str) -> str:
    try:
        video = open_video(str(path), reader)
        try:
            means = video.read(range(video.num_frames)).mean(axis=(1, 2, 3))
        finally:
            video.close()
    except VideoError as error:
        return error.reason
    except Exception as error:  # a decoder that cannot even be loaded is what is looked for
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if len(means) == 12 and np.abs(means - TINY_VIDEO).max() < 8:
        return "ok"
    return f"wrong frames: {len(means)} of 12, brightness {means.round().astype(int).tolist()}"


def gpus() -> list[str]:
    """Name and memory of every GPU that torch can use."""
    if not torch.cuda.is_available():
        return []
    return [
        f"{each.name}, {each.total_memory / 2**30:.0f} GiB"
        for each in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]


def driver() -> str:
    """The NVIDIA driver's version; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    return (done.stdout or done.stderr).strip().splitlines()[0] if done.stdout else ""


def memory_gib() -> dict[str, float] | None:
    """Memory of the machine and what is free of it; None where the system does not say."""
    said = memory_bytes()
    return said and {
        name: round(num_bytes / 2**30, 1)
        for name, num_bytes in zip(("total", "available"), said, strict=True)
    }


def writable_folders(folder: Path) -> dict[str, dict[str, Any]]:
    """The places that are written to: free space, and the speed of 32 MiB that reach the disk."""
    data = Path(os.environ.get("ACTIONRNN_DATA", folder / "data"))
    places = {"data": data, "runs": folder / "runs", "temporary": Path(tempfile.gettempdir())}
    return {name: _write_speed(path) for name, path in places.items()}


def _write_speed(path: Path) -> dict[str, Any]:
    # A folder that is not there yet would be made in the nearest one that is.
    place = next(each for each in (path.absolute(), *path.absolute().parents) if each.is_dir())
    content = os.urandom(2**20)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            started = time.perf_counter()
            for _ in range(32):
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
            speed = 32 / (time.perf_counter() - started)
    except OSError as error:
        return {"path": str(path), "error": error.strerror or str(error)}
    free = shutil.disk_usage(place).free / 2**30
    return {
        "path": str(path), "error": "", "write_mib_per_second": round(speed),
        "free_gib": round(free, 1),
    }  # fmt: skip


def weights_cache() -> dict[str, Any]:
    """Backbones that torch has downloaded already."""
    folder = Path(torch.hub.get_dir(), "checkpoints")
    files = sorted(folder.glob("*.pth")) if folder.is_dir() else []
    return {"path": str(folder), "files": [path.name for path in files]}


def missing(
    there: Callable[[str], Any] = importlib.util.find_spec,
) -> list[dict[str, str]]:
    """What single verbs need and is not installed: `verbs`, `packages`, `command`."""
    found = []
    for need in NEEDS:
        lacking = [module for module in need.modules if there(module) is None]
        if lacking:
            command = f"{sys.executable} -m pip install 'actionrnn[{need.extra}]'"
            found.append({"verbs": need.verbs, "packages": ", ".join(lacking), "command": command})
    if not any(map(shutil.which, ("unrar", "unar", "7z", "7zz", "bsdtar"))):
        found.append(
            {"verbs": "prepare, of rar archives (hmdb51)", "packages": "unrar, unar or 7z",
             "command": "apt install unar   (or: brew install unar)"}
        )  # fmt: skip
    return found


def _show(found: dict[str, Any]) -> None:
    print(f"actionrnn {found['actionrnn']}, Python {found['python']}, {found['platform']}")
    here = [f"{name} {known}" for name, known in found["packages"].items() if known]
    print(f"packages: {', '.join(here)}")
    print(f"GPU: {'; '.join(found['gpus']) or 'none that torch can use'}"
          + (f" (driver {found['driver']})" if found["driver"] else ""))  # fmt: skip
    memory = found["memory_gib"]
    known = f"{memory['available']} of {memory['total']} GiB free" if memory else "not known"
    print(f"cores: {found['cores']}, torch threads: {found['torch_threads']}, memory: {known}")
    print("decoders (a tiny file of each kind was made and read):")
    table = found["decoders"]
    # What cannot be loaded says so of every file, in the same words.
    everywhere = set.intersection(*(set(each.items()) for each in table.values()))
    unusable = {name: said for name, said in everywhere if said != "ok"}
    for codec, results in table.items():
        read = [f"{name}: {said}" for name, said in results.items() if name not in unusable]
        print(f"  {codec:<34} {'; '.join(read)}")
    for name, said in sorted(unusable.items()):
        print(f"  {name}: {said}")
    for name, each in found["folders"].items():
        said = each["error"] or (
            f"writes {each['write_mib_per_second']} MiB/s, {each['free_gib']} GiB free"
        )
        print(f"{name}: {each['path']}: {said}")
    cache = found["weights_cache"]
    print(f"weights: {cache['path']}: {', '.join(cache['files']) or 'nothing downloaded yet'}")
    print(f"recipes: {found['recipes'] or 'none'}")
    for each in found["missing"]:
        print(f"missing for {each['verbs']}: {each['packages']}\n  {each['command']}")
    for problem in found["broken"]:
        print(f"BROKEN: {problem}")
    print("nothing is broken" if not found["broken"] else "")
