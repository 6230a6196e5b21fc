"""The frozen backbone: pictures in, features out, not a bit of it ever changes."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from actionrnn.errors import ActionRNNError
from actionrnn.features.machine import Busy, num_cores
from actionrnn.features.network import Pipeline, cut
from actionrnn.features.published import FLAG
from actionrnn.features.spec import POOLED, BackboneConfig
from actionrnn.features.tokens import token_network
from actionrnn.features.weights import (
    build_model,
    built_for_one_size,
    has_classifier,
    preprocessing_of,
    true_identity,
)
from actionrnn.memory import keep_freed_memory, return_freed_memory
from actionrnn.progress import tell

# Measured with MobileNetV2 on one core: torch does 117 pictures/s in batches of 8 and 192 in
# batches of 16 (ResNet-50 17 and 27), OpenVINO 240 and 220.
BATCH_SIZE_TORCH = 16
BATCH_SIZE_OPENVINO = 8
BATCH_SIZE_GPU = 128


class FrozenBackbone:
    """A network cut at its last feature map and pooled, in eval and inference mode.

    Not an nn.Module on purpose: as part of one, `train()` would reach its BatchNorm and
    checkpoints would carry it. Convolutions have their BatchNorm folded in.

    A picture's feature depends on nothing but the picture, to the last bit: every batch has
    exactly `batch_size` pictures (the rest is filled up with black ones), and on a CPU one thread
    computes it, because libraries choose another order of summation for other sizes and thread
    counts. Several batches are computed side by side instead.

    Args:
        config: network, weights, layer.
        device: `cpu`, `cuda`, ...; OpenVINO's is always the CPU.
        runtime: see FeatureSettings.
        batch_size: pictures per batch; None chooses by device. Another size may change the last
            bits of a feature (measured: 2e-5 of values of some 1).
        side: of the pictures, in pixels, which transformers must know; None is what the weights
            were trained on.

    Attributes:
        feature_dim: D.
        weights_sha256: identity of the weights, see `weights_identity`.
        busy: what its threads do with their time.
        pipeline: the module from uint8 pictures to features.
        mean, std: per-channel normalisation of pictures scaled to 0..1.
        input_size: side of the pictures that the weights were trained on, or that a network
            which takes one size alone was built for, in pixels.

    Raises:
        ActionRNNError: if the network, its weights or the layer cannot be had.
    """

    def __init__(
        self,
        config: BackboneConfig,
        device: str = "cpu",
        runtime: str = "torch",
        batch_size: int | None = None,
        side: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.config = config
        self.device = torch.device("cpu" if runtime == "openvino" else device)
        self.runtime = runtime
        on_gpu = self.device.type != "cpu"
        self.batch_size = batch_size or _batch_size(on_gpu, runtime)
        if not on_gpu:
            keep_freed_memory()
        self.weights_sha256 = true_identity(config)
        if config.sha256 not in (None, self.weights_sha256):
            raise ActionRNNError(
                f"the backbone weights {config.weights} are not the wanted ones: their SHA-256 "
                f"is {self.weights_sha256[:12]}..., not {str(config.sha256)[:12]}...; give the "
                f"original file: {FLAG} FILE"
            )
        if config.weights == "random":
            tell(
                f"warning: backbone {config.name} has RANDOM weights (seed {config.seed}); it was "
                f"never trained"
            )
        wanted = preprocessing_of(config)
        self.mean, self.std, self.input_size = wanted.mean, wanted.std, wanted.size
        if side is not None and built_for_one_size(config):
            self.input_size = side
        network = cut_network(config, side, self.input_size)
        if runtime == "openvino" and not isinstance(network, GraphModule):
            raise ActionRNNError(f"{config.name} cannot be traced: it runs with torch only")
        self.pipeline = Pipeline(network, self.mean, self.std, config.cells_a_side).eval()
        self.feature_dim = self._probe(side if side and config.tokens else self.input_size)
        self.num_threads = num_threads or (2 if on_gpu else num_cores())
        self.busy = Busy(self.num_threads)
        self._compute = self._compiled()
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(self.num_threads, "backbone")
        self._start_threads()

    def _compiled(self) -> Callable[[Tensor], Tensor]:
        if self.runtime == "openvino":
            from actionrnn.features import openvino

            example = torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8)
            return openvino.compiled(openvino.converted(self.pipeline, example))
        self.pipeline.to(self.device).to(memory_format=torch.channels_last)
        pipeline: Callable[[Tensor], Tensor] = self.pipeline
        return pipeline

    @torch.inference_mode()
    def _probe(self, side: int) -> int:
        """D, from a single picture."""
        found = self.pipeline.feature_maps(torch.zeros(1, 3, side, side, dtype=torch.uint8))
        config, grid = self.config, self.config.cells_a_side
        smallest = min(found.shape[2:], default=0)
        if found.ndim == 4 and config.tokens and smallest < grid:
            raise ActionRNNError(
                f"layer {config.layer} of {config.name} has {smallest}x{smallest} places in "
                f"pictures of {side} px, fewer than a {grid}x{grid} grid: use "
                f"--features.backbone.grid {smallest}, or larger pictures"
            )
        if found.ndim == 4:
            return int(found.shape[1]) * config.num_cells
        if found.ndim == 2 and grid == 1:
            return int(found.shape[1])
        raise ActionRNNError(
            f"layer {config.layer} of {config.name} gives a tensor of shape {tuple(found.shape)}, "
            f"which cannot be pooled on a {grid}x{grid} grid; choose another with "
            f"--features.backbone.layer (`tokens` keeps the places of transformers)"
        )

    def _start_threads(self) -> None:
        ready = threading.Barrier(self.num_threads)

        def start() -> None:
            torch.get_num_threads()  # a thread's first look copies the last setting made anywhere
            torch.set_num_threads(1)
            ready.wait()

        for future in [self._threads.submit(start) for _ in range(self.num_threads)]:
            future.result()
        # The setting is a thread's own, but new threads copy the last one that was made.
        torch.set_num_threads(torch.get_num_threads())

    @property
    def network(self) -> nn.Module:
        """The network itself, for inspection."""
        return self.pipeline.network

    def __call__(self, pictures_NCHW: Tensor) -> Tensor:
        """Features of any number of pictures.

        Args:
            pictures_NCHW: uint8 (N, 3, H, W), RGB.

        Returns:
            float32 (N, D) on the CPU.
        """
        parts = [self.submit(part) for part in pictures_NCHW.split(self.batch_size)]
        return torch.cat([part.result() for part in parts])

    def submit(self, pictures_NCHW: Tensor) -> "Future[Tensor]":
        """Compute the features of at most `batch_size` pictures in another thread."""
        return self._threads.submit(self._batch, pictures_NCHW)

    @torch.no_grad()
    def feature_maps(self, pictures_NCHW: Tensor) -> Tensor:
        """The maps that `__call__` pools, float32 (N, C, h, w) on the CPU, computed by torch.

        Of a network without maps, its features (N, C).
        """
        parts = [
            self.pipeline.feature_maps(part.to(self.device)).cpu()
            for part in pictures_NCHW.split(self.batch_size)
        ]
        return torch.cat(parts)

    @torch.inference_mode()
    def _batch(self, pictures_NCHW: Tensor) -> Tensor:
        count = len(pictures_NCHW)
        if count < self.batch_size:
            filling = pictures_NCHW.new_zeros(self.batch_size - count, *pictures_NCHW.shape[1:])
            pictures_NCHW = torch.cat([pictures_NCHW, filling])
        with self.busy:
            if self.device.type == "cuda":
                return self._batch_on_gpu(pictures_NCHW)[:count]
            with torch.autocast("cpu", torch.bfloat16, enabled=self.runtime == "torch-bf16"):
                return self._compute(pictures_NCHW)[:count]

    def _batch_on_gpu(self, pictures_NCHW: Tensor) -> Tensor:
        """On this thread's own stream, so that one batch travels while another is computed."""
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self.device)
        with (
            torch.cuda.stream(self._own.stream),
            torch.autocast("cuda", torch.bfloat16, enabled=self.runtime == "torch-bf16"),
        ):
            pictures = pictures_NCHW.pin_memory().to(self.device, non_blocking=True)
            return self._compute(pictures).cpu()

    def close(self) -> None:
        """End the threads, without the batches that have not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        return_freed_memory()


def cut_network(config: BackboneConfig, side: int | None, input_size: int) -> nn.Module:
    """The network up to its layer, a GraphModule where it can be traced.

    Args:
        config: network, weights, layer.
        side: see `build_model`.
        input_size: side of the pictures to try it on, in pixels.

    Raises:
        ActionRNNError: if the network, its weights or the layer cannot be had.
    """
    model = build_model(config, side).eval().requires_grad_(False)
    if config.tokens:
        return token_network(model, config, config.tokens, input_size)
    layer = None if config.layer == POOLED else config.layer
    return cut(model, layer, input_size, config.name, has_classifier(config, model))


def _batch_size(on_gpu: bool, runtime: str) -> int:
    if on_gpu:
        return BATCH_SIZE_GPU
    return BATCH_SIZE_OPENVINO if runtime == "openvino" else BATCH_SIZE_TORCH
