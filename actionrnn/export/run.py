"""`python run.py clip.mp4 ...`: class probabilities by onnxruntime (.npy: pictures, features)."""

import json
import os
import sys
from typing import Any, cast

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it reports to its makers
import av
import numpy as np
import onnxruntime


def frame_indices(sampling: dict[str, Any], times: Any) -> list[list[int]]:
    """Frames of every temporal view."""
    views, number, count = sampling["num_temporal_views"], sampling["num_frames"], len(times)
    if sampling["mode"] == "uniform":
        centres = [(2 * k + 1) * count // (2 * number * views) for k in range(number * views)]
        return [centres[view::views] for view in range(views)]
    if sampling["mode"] == "dense":
        step, room = sampling["frame_interval"], count - (number - 1) * sampling["frame_interval"]
        starts = [(2 * k + 1) * max(1, room) // (2 * views) for k in range(views)]
        return [[min(start + k * step, count - 1) for k in range(number)] for start in starts]
    times = np.array(times) - times[0]
    seconds = times[-1] + (np.median(np.diff(times)) if count > 1 else 1.0)
    ticks = np.arange(min(number, max(1, round(seconds * sampling["fps"]))))
    at = [(ticks + (view + 0.5) / views) / sampling["fps"] + 1e-9 for view in range(views)]
    return [(np.searchsorted(times, each, "right") - 1).clip(0).tolist() for each in at]


def read_frames(path: str, sampling: dict[str, Any]) -> Any:
    """The sampled frames, uint8 (views, frames, H, W, 3), counted by decoding from the first."""
    with av.open(path) as file:
        packets = [each for each in file.demux(file.streams.best("video")) if each.size]
    times = sorted(float(each.pts * each.time_base) for each in packets if each.pts is not None)
    while True:  # again, where other frames are decoded than the file promises
        views, found, shown = frame_indices(sampling, times or [0.0]), {}, []
        with av.open(path) as file:
            for number, frame in enumerate(cast(Any, file).decode(file.streams.best("video"))):
                shown.append(number / 25 if frame.time is None else frame.time)
                if any(number in view for view in views):
                    found[number] = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        if len(shown) == len(times):
            return np.stack([[found[index] for index in view] for view in views])
        times = shown


if __name__ == "__main__":
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # for busy machines
    session = onnxruntime.InferenceSession(__file__.replace("run.py", "clip.onnx"), options)
    about = json.loads(session.get_modelmeta().custom_metadata_map["actionrnn"])
    sampling = about["feature_spec"]["settings"]["sampling"]
    for name in sys.argv[1:]:
        values = np.load(name) if name.endswith(".npy") else read_frames(name, sampling)
        given = {about["inputs"]: values[None], "lengths": [values.shape[1]]}
        (scores,) = session.run(None, given)[0]
        best = {about["class_names"][k]: float(scores[k]) for k in np.argsort(-scores)}
        print(json.dumps({"path": name, "probabilities": best}))
