"""Extraction as a whole process against video_features, a public extractor, with the same weights.

    git clone https://github.com/v-iashin/video_features
    python tests/benchmarks/bench_peer.py --peer video_features [--python ITS_PYTHON]

Both compute ResNet-18 features of 16 frames of each of 39 surveillance-fights clips, from start to
end of the process, in turn. The peer needs omegaconf, opencv-python, tqdm and the program ffmpeg,
with which it encodes each video anew at the rate that gives 16 frames. Prints the ratio of times
and how near the features are (the cosine of each clip's mean; frames and resizing differ).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from bench_features import fights

from actionrnn.features.store import FeatureStore, read_spec

WEIGHTS = "resnet18-f37072fd.pth"  # the name under which torchvision looks for IMAGENET1K_V1


def seconds(command: list[str], folder: Path, **environment: str) -> float:
    """How long a command takes."""
    began = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True
    )
    return time.perf_counter() - began


def means_of(folder: Path) -> dict[str, np.ndarray]:
    """The mean feature of every clip of our one store."""
    (place,) = folder.iterdir()
    store = FeatureStore(place, read_spec(place))
    return {name.split("_", 1)[1]: store.read(name).mean((0, 1)) for name in store.video_ids}


def main() -> None:
    """Parse, run in turn, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, required=True, help="checkout of video_features")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs it")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--clips", type=int, default=39)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--extract", nargs=argparse.REMAINDER, default=[], help="more words of ours"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "hub" / "checkpoints" / WEIGHTS
        weights.parent.mkdir(parents=True)
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet18().state_dict(), weights)
        manifest = fights(options.data.resolve(), options.clips)
        paths = [str(path) for path in manifest.video_paths()]
        table = manifest.table.assign(path=paths)
        manifest.with_table(table).save(folder / "data")
        (folder / "paths.txt").write_text("\n".join(paths))
        ours = [
            sys.executable, "-m", "actionrnn", "extract", "--data.root", str(folder / "data"),
            "--backbone", "resnet18", "--weights", str(weights),
        ]  # fmt: skip
        peer = [
            options.python, "main.py", "feature_type=resnet", "model_name=resnet18", "device=cpu",
            "batch_size=16", "extraction_total=16", "on_extraction=save_numpy",
            f"tmp_path={folder / 'tmp'}", f"file_with_video_paths={folder / 'paths.txt'}",
        ]  # fmt: skip
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for number in range(options.rounds):
            store = ["--data.features_dir", str(folder / f"ours{number}"), *options.extract]
            times["ours"].append(seconds([*ours, *store], folder))
            out = f"output_path={folder / f'peer{number}'}"
            times["peer"].append(seconds([*peer, out], options.peer, TORCH_HOME=str(folder)))
        theirs = {
            path.name.removesuffix("_resnet.npy"): np.load(path).mean(0)
            for path in (folder / "peer0").rglob("*_resnet.npy")
        }
        near = [
            float(np.dot(mean, theirs[name]) / np.linalg.norm(mean) / np.linalg.norm(theirs[name]))
            for name, mean in means_of(folder / "ours0").items()
        ]
    for way, found in times.items():
        print(f"{way}: {median(found):.1f} s   ({'  '.join(f'{each:.1f}' for each in found)})")
    print(f"video_features takes {median(times['peer']) / median(times['ours']):.1f} times as long")
    print(f"cosine of the clips' means: median {median(near):.3f}, least {min(near):.3f}")


if __name__ == "__main__":
    main()
