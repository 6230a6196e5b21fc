"""Does the synthetic dataset do its work? `python tests/benchmarks/bench_synthetic.py`.

Renders the dataset, extracts features with the frozen backbone, and trains recurrent heads and
order-blind ones on them, several seeds each. Prints one line per head: accuracy on the test
split, how often the pair was right, and accuracy within the pair among those (an order-blind head
has to be at 0.5, by construction). With `--difficulty` and `--variant`, shows how far a harder or
planted dataset is from the default one. Times are this machine's and are not compared.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.synthetic.prepare import prepare
from actionrnn.features.extract import ensure_features
from actionrnn.features.spec import BackboneConfig, FeatureSettings
from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import build_head
from actionrnn.video.sampling import Sampling
from actionrnn.video.transform import Transform

HEADS = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "mean_pool": {"head": "mean_pool"},
    "mean_pool_mlp": {"head": "mean_pool_mlp"},
    "single_frame": {"head": "single_frame"},
}


def train_and_predict(
    config: HeadConfig,
    features_BTD: Tensor,
    lengths_B: Tensor,
    target_B: Tensor,
    train_rows: Tensor,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> Tensor:
    """Class ids of all clips, (B,), by a head trained on `train_rows`."""
    torch.manual_seed(seed)
    head = build_head(config, features_BTD.shape[-1], int(target_B.max()) + 1)
    head.fit_input_norm([(features_BTD[train_rows], lengths_B[train_rows])])
    optimizer = torch.optim.AdamW(head.parameters(), learning_rate, weight_decay=0.01)
    batches_per_epoch = -(-len(train_rows) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * batches_per_epoch
    )
    for _ in range(epochs):
        order = train_rows[torch.randperm(len(train_rows))]
        for rows in order.split(32):
            logits_BK = head(features_BTD[rows], lengths_B[rows]).logits_BK
            optimizer.zero_grad()
            cross_entropy(logits_BK, target_B[rows]).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    head.eval()
    with torch.inference_mode():
        return head(features_BTD, lengths_B).logits_BK.argmax(1)


def report(manifest: Manifest, features_BTD: Tensor, lengths_B: Tensor,
           options: argparse.Namespace) -> None:  # fmt: skip
    """Train every head with every seed and print its accuracies."""
    target_B = torch.from_numpy(manifest.label_ids())
    split = manifest.table["split1"].to_numpy()
    train_rows = torch.from_numpy(np.flatnonzero(split == "train"))
    test_rows = torch.from_numpy(np.flatnonzero(split == "test"))
    print(f"{'head':14} {'test':>6} {'pair':>6} {'within':>6}  seconds  (test per seed)")
    for name, settings in HEADS.items():
        config = HeadConfig(hidden_size=options.hidden_size, **settings)  # type: ignore[arg-type]
        started = time.perf_counter()
        rights, pairs = [], []
        for seed in range(options.seeds):
            preds = train_and_predict(config, features_BTD, lengths_B, target_B, train_rows,
                                      options.epochs, options.lr, seed)[test_rows]  # fmt: skip
            target = target_B[test_rows]
            rights.append((preds == target).double().mean().item())
            pairs.append((preds // 2 == target // 2).double().mean().item())
        seconds = (time.perf_counter() - started) / options.seeds
        right, pair = float(np.mean(rights)), float(np.mean(pairs))
        each = " ".join(f"{r:.3f}" for r in rights)
        print(f"{name:14} {right:6.3f} {pair:6.3f} {right / pair:6.3f}  {seconds:7.1f}  ({each})")


def main() -> None:
    """Parse, render, extract, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--difficulty", default="medium")
    parser.add_argument("--variant", default="standard")
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--data_seed", type=int, default=0)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--size", type=int, default=64, help="of the backbone's input, in pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--hidden_size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    settings = FeatureSettings(
        backbone=BackboneConfig(options.backbone, options.weights),
        sampling=Sampling(num_frames=options.frames),
        transform=Transform(options.size, "squash"),
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        manifest = prepare(
            None, Path(folder, "data"), num_clips=options.clips, difficulty=options.difficulty,
            variant=options.variant, seed=options.data_seed,
        )  # fmt: skip
        rendered = time.perf_counter()
        store = ensure_features(manifest, settings, Path(folder, "features"), progress=False)
        extracted = time.perf_counter()
        features_BTD, lengths_B = store.gather(manifest.table["video_id"].tolist())
    print(
        f"{options.difficulty} {options.variant} seed {options.data_seed}: {options.clips} clips, "
        f"{options.backbone} ({options.weights}) at {options.size} px, {options.frames} frames: "
        f"rendered in {rendered - started:.1f} s, extracted in {extracted - rendered:.1f} s"
    )
    report(manifest, features_BTD, lengths_B, options)


if __name__ == "__main__":
    main()
