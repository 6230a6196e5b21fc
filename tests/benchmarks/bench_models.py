"""Cost of the cells: `python tests/benchmarks/bench_models.py [--frames 16 64] [--device cuda]`.

Prints, as JSON lines and then as tables, milliseconds per clip for a training step (forward,
loss, backward, AdamW) and for inference, beside the same training step over a packed batch
(`packed`, the library module with `pack_padded_sequence`). Rounds visit every head in turn, so
that a busy moment of the machine hits all alike; the fastest round is reported, as timeit does.

Gradients that vanish through time reach denormal numbers, which a CPU multiplies many times slower
(T=256, 1 thread, ms per clip of training: rnn 56 -> 7, mingru 33 -> 6 once flushed to zero), so
they are flushed here, in ours and in the library's alike; `--denormals` keeps them.

`--tokens 300 --head attend_recur` trains a head over tokens for an epoch of so many clips (16
frames of 7x7 places with 384 channels in float16, 128 units, batches of 32) and prints its seconds
and the peak memory of the process, imports and features included.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import Head, build_head

CELLS = ("rnn", "lstm", "gru", "minlstm", "mingru")
LIBRARY = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class PackedHead(nn.Module):
    """The usual way: pack, run the library module, take its final hidden state."""

    def __init__(self, cell: str, feature_dim: int, hidden_size: int, num_classes: int) -> None:
        super().__init__()
        self.cell = LIBRARY[cell](feature_dim, hidden_size, batch_first=True)
        self.classifier = nn.Linear(hidden_size, num_classes)

    def forward(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Logits (B, K)."""
        packed = pack_padded_sequence(
            features_BTD, lengths_B.cpu(), batch_first=True, enforce_sorted=False
        )
        end = self.cell(packed)[1]
        return self.classifier((end[0] if isinstance(end, tuple) else end)[0])


def logits(head: nn.Module, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Scores of either kind of head."""
    output = head(features_BTD, lengths_B)
    return output if isinstance(output, Tensor) else output.logits_BK


def heads_to_time(args: argparse.Namespace) -> dict[str, nn.Module]:
    """Ours for every cell and control, then the packed library modules."""
    sizes: dict[str, Any] = {"hidden_size": args.hidden, "dropout": 0.0}
    heads: dict[str, nn.Module] = {}
    for cell in CELLS:
        heads[cell] = build_head(HeadConfig(cell=cell, **sizes), args.features, args.classes)
    both = HeadConfig(cell="lstm", bidirectional=True, **sizes)
    heads["lstm, both ways"] = build_head(both, args.features, args.classes)
    control = HeadConfig(head="mean_pool", **sizes)
    heads["mean_pool"] = build_head(control, args.features, args.classes)
    for cell in LIBRARY:
        heads[f"{cell}, packed"] = PackedHead(cell, args.features, args.hidden, args.classes)
    return {name: head.to(args.device) for name, head in heads.items()}


def train_step(
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    features_BTD: Tensor,
    lengths_B: Tensor,
    target_B: Tensor,
) -> None:
    """Forward, loss, backward, update."""
    logits_BK = logits(head.train(), features_BTD, lengths_B)
    nn.functional.cross_entropy(logits_BK, target_B).backward()
    optimizer.step()
    optimizer.zero_grad()


def inference(head: nn.Module, features_BTD: Tensor, lengths_B: Tensor) -> None:
    """Forward alone."""
    with torch.inference_mode():
        logits(head.eval(), features_BTD, lengths_B)


def timed(action: Callable[[], object], device: str) -> float:
    """Seconds of one call, the accelerator's work included."""
    start = time.perf_counter()
    action()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def time_heads(args: argparse.Namespace, num_frames: int) -> list[dict[str, Any]]:
    """Rows of name, frames, ms per clip in training and inference, parameters, MACs."""
    torch.manual_seed(0)
    features_BTD = torch.randn(args.batch, num_frames, args.features, device=args.device)
    lengths_B = torch.randint(num_frames // 2, num_frames + 1, (args.batch,), device=args.device)
    target_B = torch.randint(0, args.classes, (args.batch,), device=args.device)
    heads = heads_to_time(args)
    optimizers = {
        name: torch.optim.AdamW(head.parameters(), fused=True) for name, head in heads.items()
    }
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in heads}

    for round_number in range(args.rounds + 1):
        for name, head in heads.items():
            train = partial(train_step, head, optimizers[name], features_BTD, lengths_B, target_B)
            infer = partial(inference, head, features_BTD, lengths_B)
            times = timed(train, args.device), timed(infer, args.device)
            if round_number > 0:  # the first round warms up
                for column, value in zip(seconds[name], times, strict=True):
                    column.append(1e3 * value / args.batch)
    return [row(name, heads[name], num_frames, *seconds[name]) for name in heads]


def train_on_tokens(name: str, num_clips: int) -> dict[str, Any]:
    """One epoch of a head over tokens: seconds of clock and of all cores, GiB at the peak."""
    num_frames, side, channels, batch_size = 16, 7, 384, 32
    torch.manual_seed(0)
    config = HeadConfig(head=name, cell="gru", hidden_size=128)  # type: ignore[arg-type]
    head = build_head(config, channels * side**2, 10, side**2)
    optimizer = torch.optim.AdamW(head.parameters(), fused=True)
    features_NTD = torch.randn(num_clips, num_frames, channels * side**2).half()
    start = time.perf_counter(), time.process_time()
    for features_BTD in features_NTD.split(batch_size):
        lengths_B = torch.full((len(features_BTD),), num_frames)
        target_B = torch.arange(len(features_BTD)) % 10
        train_step(head, optimizer, features_BTD, lengths_B, target_B)
    return {
        "head": name,
        "clips": num_clips,
        "epoch_seconds": round(time.perf_counter() - start[0], 1),
        "epoch_cpu_seconds": round(time.process_time() - start[1], 1),
        "features_gib": round(features_NTD.nbytes / 2**30, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "parameters": sum(p.numel() for p in head.parameters()),
    }


def row(
    name: str, head: nn.Module, num_frames: int, train_ms: list[float], infer_ms: list[float]
) -> dict[str, Any]:
    """One line of the table."""
    return {
        "head": name,
        "frames": num_frames,
        "train_ms_per_clip": round(min(train_ms), 4),
        "infer_ms_per_clip": round(min(infer_ms), 4),
        "parameters": sum(p.numel() for p in head.parameters()),
        "mega_macs": round(head.macs(num_frames) / 1e6, 1) if isinstance(head, Head) else None,
    }


def print_table(rows: list[dict[str, Any]], column: str) -> None:
    """Heads down, frames across, with the ratio to the LSTM of the same run."""
    frames = sorted({row["frames"] for row in rows})
    value = {(row["head"], row["frames"]): row[column] for row in rows}
    print(f"\n{column} (x LSTM)\n| head | " + " | ".join(f"T={T}" for T in frames) + " |")
    print("|---|" + "---|" * len(frames))
    for name in dict.fromkeys(row["head"] for row in rows):
        cells = [f"{value[name, T]:.3f} ({value[name, T] / value['lstm', T]:.2f})" for T in frames]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 64, 256, 1024])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--tokens", type=int, metavar="CLIPS", help="train a head over tokens")
    parser.add_argument("--head", default="attend_recur", help="of --tokens")
    parser.add_argument("--denormals", action="store_true", help="do not flush them to zero")
    args = parser.parse_args()
    torch.set_flush_denormal(not args.denormals)
    if args.tokens:
        print(json.dumps(train_on_tokens(args.head, args.tokens)))
        return
    rows = []
    for num_frames in args.frames:
        for line in time_heads(args, num_frames):
            print(json.dumps(line), flush=True)
            rows.append(line)
    print(
        f"\nbatch {args.batch}, {args.features} features, {args.hidden} units, "
        f"{args.classes} classes, lengths T/2..T, {args.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for column in ("train_ms_per_clip", "infer_ms_per_clip"):
        print_table(rows, column)


if __name__ == "__main__":
    main()
