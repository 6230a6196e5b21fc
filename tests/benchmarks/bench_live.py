"""Work per frame of stepping against re-running windows: `python tests/benchmarks/bench_live.py`.

A stream is scored anew at every frame. Stepping (`--history whole`, and `restart` with its two
steps) runs the backbone on the new picture and the head on its features; the usual sliding window
runs both on the last 16 or 64 pictures again. `window` keeps the features and re-runs the head
alone. Prints milliseconds per frame by the clock and of all cores together (medians of rounds that
visit every way in turn; large batches are spread over the cores) and multiply-adds, as JSON lines
and then as a table.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.spec import BackboneConfig
from actionrnn.live.history import History, make_history
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head

WINDOWS = (16, 64)


def ways(args: argparse.Namespace, pictures_NCHW: Tensor) -> dict[str, Callable[[], object]]:
    """One more frame, in every way, its past being there already."""
    config = BackboneConfig(args.backbone, weights="random")
    one = FrozenBackbone(config, args.device, args.runtime, batch_size=1)
    head = build_head(HeadConfig(cell=args.cell), one.feature_dim, args.classes)
    head = head.to(args.device).eval()
    picture = pictures_NCHW[:1]

    def stepping(history: History) -> Callable[[], object]:
        return lambda: history(one(picture).to(args.device))

    found = {
        "whole": stepping(make_history(head, "whole", 1)),
        "restart": stepping(make_history(head, "restart", 16)),
        "forget": stepping(make_history(head, "forget", 16)),
    }
    for length in WINDOWS:
        found[f"window {length}"] = stepping(make_history(head, "window", length))
        many = FrozenBackbone(config, args.device, args.runtime, batch_size=min(length, 16))
        found[f"re-run {length}"] = re_run(many, head, pictures_NCHW[:length], args.device)
    return found


def re_run(
    backbone: FrozenBackbone, head: nn.Module, pictures_NCHW: Tensor, device: str
) -> Callable[[], object]:
    """The whole window through backbone and head."""
    lengths = torch.tensor([len(pictures_NCHW)], device=device)
    return lambda: head(backbone(pictures_NCHW).to(device)[None], lengths)


def multiply_adds(args: argparse.Namespace) -> dict[str, float]:
    """Millions per frame: backbone and head together."""
    backbone = FrozenBackbone(BackboneConfig(args.backbone, weights="random"), batch_size=1)
    side = backbone.input_size
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.network(torch.zeros(1, 3, side, side))
    picture = counter.get_total_flops() / 2
    head = build_head(HeadConfig(cell=args.cell), backbone.feature_dim, args.classes)
    found = {"whole": picture + head.macs(1), "forget": picture + head.macs(1)}
    found["restart"] = picture + 2 * head.macs(1)
    for length in WINDOWS:
        found[f"window {length}"] = picture + head.macs(length)
        found[f"re-run {length}"] = length * picture + head.macs(length)
    return {name: value / 1e6 for name, value in found.items()}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runtime", default="torch", help="or openvino")
    args = parser.parse_args()
    torch.manual_seed(0)
    side = 224
    pictures = torch.randint(0, 256, (max(WINDOWS), 3, side, side), dtype=torch.uint8)
    actions = ways(args, pictures)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
    with torch.inference_mode():
        for name, action in actions.items():  # a window is full before it is measured
            for _ in range(max(WINDOWS) if name.startswith("window") else 2):
                action()
        for _ in range(args.rounds):
            for name, action in actions.items():
                start = time.perf_counter(), time.process_time()
                action()
                if args.device != "cpu":
                    torch.cuda.synchronize()
                end = time.perf_counter(), time.process_time()
                seconds[name].append((end[0] - start[0], end[1] - start[1]))
    work = multiply_adds(args)
    rows: list[dict[str, Any]] = []
    for name, times in seconds.items():
        wall, cores = (1000 * statistics.median(each) for each in zip(*times, strict=True))
        rows.append({"way": name, "ms": wall, "core_ms": cores, "mega_macs": work[name]})
        print(json.dumps(rows[-1]), flush=True)
    print(
        f"\n{args.backbone}, {args.cell}, {args.device}, {args.runtime}; in brackets: times `whole`"
    )
    print("| way | ms per frame | ms of all cores | M multiply-adds |\n|---|---|---|---|")
    for row in rows:
        cells = [
            f"{row[key]:.1f} ({row[key] / rows[0][key]:.1f})"
            for key in ("ms", "core_ms", "mega_macs")
        ]
        print(f"| {row['way']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
