"""Int8 on OpenVINO: a backbone quantised with clips of the dataset, behind a check that refuses.

Calibration decides the quantised network, so the network is a file of its own beside the stores,
made once for all processes and runs; its hash is part of the FeatureSpec. It is published only if
features of other clips stay near those of float32 and a head learns from them as well.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.features.backbone import FrozenBackbone
from actionrnn.features.clip_files import Clip
from actionrnn.features.openvino import quantize, quantizer_version, runtime_version
from actionrnn.features.shard import unwritable
from actionrnn.features.spec import FeatureSettings
from actionrnn.features.weights import weights_identity
from actionrnn.video.errors import VideoError
from actionrnn.video.isolate import DecodeWorker

RUNTIME = "openvino-int8"
NETWORKS = "int8-*.safetensors"
CALIBRATION_CLIPS = 24
CALIBRATION_PICTURES_PER_CLIP = 4
CHECK_CLIPS = 100
CHECK_CLASSES = 10  # the most frequent ones, so that each has clips to learn from
FOLDS = 5
# On 100 surveillance clips: MobileNetV2 mean 0.996, least 0.967; SqueezeNet 0.998 and 0.985;
# ResNet-18 0.9999 and 0.9998; the linear head loses nothing. MobileNetV3 comes out as zeros.
LEAST_MEAN_COSINE = 0.99
LEAST_COSINE = 0.95
MOST_LOST_ACCURACY = 0.02


@dataclass(frozen=True)
class Int8Check:
    """What int8 does to the features of a sample.

    Attributes:
        mean_cosine, least_cosine: between the float32 and the int8 feature of a frame.
        float32_accuracy, int8_accuracy: of a linear head on features averaged over time, each
            clip scored by a head that did not see it (5 folds).
        num_clips: in the sample.
    """

    mean_cosine: float
    least_cosine: float
    float32_accuracy: float
    int8_accuracy: float
    num_clips: int

    @property
    def passed(self) -> bool:
        """Whether int8 may stand for float32."""
        return (
            self.mean_cosine >= LEAST_MEAN_COSINE
            and self.least_cosine >= LEAST_COSINE
            and self.float32_accuracy - self.int8_accuracy <= MOST_LOST_ACCURACY
        )

    def __str__(self) -> str:
        return (
            f"on {self.num_clips} clips the cosine with float32 features is "
            f"{self.mean_cosine:.4f} on average (at least {LEAST_MEAN_COSINE} is wanted) and "
            f"{self.least_cosine:.4f} at worst (at least {LEAST_COSINE}); a linear head is right "
            f"on {self.int8_accuracy:.1%} of them instead of {self.float32_accuracy:.1%} (at most "
            f"{MOST_LOST_ACCURACY:.0%} may be lost)"
        )


def compare(float32: Sequence[Tensor], int8: Sequence[Tensor], labels: Sequence[str]) -> Int8Check:
    """Compare the features of some clips, each (N, D) with N frames."""
    cosines = torch.cat([torch.cosine_similarity(a, b) for a, b in zip(float32, int8, strict=True)])
    names = sorted(set(labels))
    target_B = torch.tensor([names.index(label) for label in labels])
    before, after = (
        _head_accuracy(torch.stack([each.mean(0) for each in features]).double(), target_B)
        for features in (float32, int8)
    )
    return Int8Check(float(cosines.mean()), float(cosines.min()), before, after, len(labels))


def _head_accuracy(features_BD: Tensor, target_B: Tensor) -> float:
    """Accuracy of ridge regression onto the classes, in the folds it was not fitted on."""
    features_BD = (features_BD - features_BD.mean(0)) / (features_BD.std(0) + 1e-6)
    kernel_BB = features_BD @ features_BD.T / features_BD.shape[1] + 1.0
    wanted_BK = torch.nn.functional.one_hot(target_B).double()
    fold_B = torch.arange(len(target_B)) % FOLDS
    num_right = 0
    for fold in fold_B.unique():
        seen, held = fold_B != fold, fold_B == fold
        damped = kernel_BB[seen][:, seen] + 0.1 * torch.eye(int(seen.sum())).double()
        scores_BK = kernel_BB[held][:, seen] @ torch.linalg.solve(damped, wanted_BK[seen])
        num_right += int((scores_BK.argmax(1) == target_B[held]).sum())
    return num_right / len(target_B)


def network_path(folder: Path, settings: FeatureSettings) -> Path:
    """Where the quantised network of some settings is kept, below the folder of the stores."""
    backbone = asdict(settings.backbone)
    kept = {key: backbone[key] for key in ("name", "layer", "grid")}
    versions = (runtime_version(), quantizer_version())
    parts = [kept, asdict(settings.transform), weights_identity(settings.backbone), versions]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return folder / f"int8-{key}.safetensors"


def int8_version(path: Path) -> str:
    """What a quantised network adds to a FeatureSpec: the hash of its file.

    Raises:
        ActionRNNError: if it is not there.
    """
    try:
        with open(path, "rb") as file:
            return f"int8 {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    except OSError as error:
        raise ActionRNNError(
            f"the int8 network {path} cannot be read ({error.strerror}). It belongs to the "
            f"features: bring it back, or extract them again with --runtime {RUNTIME}"
        ) from error


def ensure_network(
    folder: Path, settings: FeatureSettings, clips: Sequence[Clip], labels: Sequence[str]
) -> tuple[Path, Int8Check | None]:
    """The quantised network of some settings, made of some clips and checked if there is none.

    Args:
        folder: of the stores.
        settings: what a feature is.
        clips: of the dataset, with their `labels`.

    Returns:
        Its file, and how the check went if it was made now.

    Raises:
        ActionRNNError: with the measured figures, if int8 is not good enough.
    """
    path = network_path(folder, settings)
    if path.is_file():
        return path, None
    chosen = _sample(labels)
    decoded = _decode([clips[k] for k in chosen], CALIBRATION_CLIPS + CHECK_CLIPS)
    num_calibration = min(CALIBRATION_CLIPS, len(decoded) // 3)
    calibration, check = decoded[:num_calibration], decoded[num_calibration:]
    if len(check) < 2 * FOLDS:
        raise ActionRNNError(
            f"--runtime {RUNTIME} needs at least {3 * FOLDS} readable clips to be checked on, "
            f"found {len(decoded)}; use --runtime openvino"
        )
    pictures = torch.cat([_few(clip) for _, clip in calibration])
    whole = FrozenBackbone(settings.backbone, runtime="openvino")
    temporary = _write(path, quantize(whole.pipeline, pictures))
    try:
        small = FrozenBackbone(settings.backbone, runtime=RUNTIME, int8=temporary)
        known = [labels[chosen[number]] for number, _ in check]
        found = compare([whole(p) for _, p in check], [small(p) for _, p in check], known)
        whole.close()
        small.close()
        if not found.passed:
            raise ActionRNNError(f"int8 is refused: {found}. Use --runtime openvino")
        _publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path, found


def _sample(labels: Sequence[str]) -> list[int]:
    """Clips of the most frequent classes, evenly chosen, one class after the other."""
    names = sorted(set(labels), key=lambda name: (-labels.count(name), name))[:CHECK_CLASSES]
    each = -(-(CALIBRATION_CLIPS + CHECK_CLIPS) // len(names))
    rows: list[list[int]] = []
    for name in names:
        members = [k for k, label in enumerate(labels) if label == name]
        count = min(each, len(members))
        rows.append([members[i * len(members) // count] for i in range(count)])
    return [row[i] for i in range(each) for row in rows if i < len(row)]


def _decode(clips: Sequence[Clip], count: int) -> list[tuple[int, Tensor]]:
    """Number and pictures (N, 3, H, W) of the clips among the first `count` that can be read."""
    found = []
    with DecodeWorker() as worker:
        for number, clip in enumerate(clips[:count]):
            try:
                found.append((number, worker.ask(clip.request).frames.flatten(0, 1)))
            except VideoError:
                continue  # the extraction itself will record it
    return found


def _few(pictures_NCHW: Tensor) -> Tensor:
    return pictures_NCHW[:: -(-len(pictures_NCHW) // CALIBRATION_PICTURES_PER_CLIP)]


def _write(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ActionRNNError(unwritable(path.parent, error)) from error
    return temporary


def _publish(temporary: Path, path: Path) -> None:
    """Of several processes that made it at once, the first wins."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        os.replace(temporary, path)
