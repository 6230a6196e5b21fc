"""Exported models against PyTorch, on the same clips in one run: `python ... --ckpt_path FILE`.

From file to probabilities, one clip after the other: `ActionPredictor.predict` and the runner that
is written beside an ONNX model, both with as many threads as they like.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from actionrnn.process import prepare_process

prepare_process()

import numpy as np
import onnxruntime

from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.export.model import ExportOptions, export_model
from actionrnn.export.run import read_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt_path", type=Path, required=True)
    parser.add_argument("--videos", nargs="+", required=True)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    predictor = ActionPredictor.load(options.ckpt_path, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        made = ExportOptions(videos=options.videos[:2], output=Path(folder, "model"))
        path = export_model(options.ckpt_path, made) / "clip.onnx"
        options_of_runner = onnxruntime.SessionOptions()
        options_of_runner.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options_of_runner)
        about = json.loads(session.get_modelmeta().custom_metadata_map["actionrnn"])
        sampling = about["feature_spec"]["settings"]["sampling"]

        def exported(video: str) -> None:
            frames = read_frames(video, sampling)
            session.run(None, {"frames": frames[None], "lengths": np.array([frames.shape[1]])})

        ways = {"PyTorch": predictor.predict, "ONNX Runtime": exported}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way(options.videos[0])
        for _ in range(options.repeats):
            for name, way in ways.items():
                started = time.perf_counter()
                for video in options.videos:
                    way(video)
                seconds[name].append((time.perf_counter() - started) / len(options.videos))
    for name, found in seconds.items():
        print(f"{name}: {1000 * statistics.median(found):.0f} ms a clip, median of {len(found)}")
    pairs = zip(seconds["PyTorch"], seconds["ONNX Runtime"], strict=True)
    ratio = statistics.median(torch_s / onnx_s for torch_s, onnx_s in pairs)
    print(f"ratio: {ratio:.2f} of PyTorch's clips a second, median of the rounds")


if __name__ == "__main__":
    main()
