"""A network cut where its features are, with BatchNorm folded into the convolutions."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Interpreter, Node, symbolic_trace
from torch.fx.experimental.optimization import fuse

from actionrnn.errors import ActionRNNError, near_miss

# What may stand between the last feature map and the classifier without being a layer of its own.
_POOLING = (
    nn.AdaptiveAvgPool2d,
    nn.AvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
    nn.Dropout,
    nn.Identity,
)
UNTRACEABLE = (torch.fx.proxy.TraceError, TypeError, AttributeError, NotImplementedError)
_POOLING_NAMES = ("flatten", "mean", "adaptive_avg_pool2d", "avg_pool2d", "dropout", "max_pool2d")


class Pipeline(nn.Module):
    """Pictures of bytes in, pooled features out: normalise, network, pool.

    Args:
        network: float pictures (N, 3, H, W) to a map (N, C, h, w) or features (N, C); or to a map
            and a class token (N, C), which becomes one more place.
        mean, std: per-channel normalisation of pictures scaled to 0..1.
        grid: cells a side that the map is averaged over.
    """

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], grid: int
    ) -> None:
        super().__init__()
        self.network = network
        self.grid = grid
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, pictures_NCHW: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) to float32 (N, C * places), places fastest."""
        found, *class_NC = self._found(pictures_NCHW)
        if found.ndim == 4:
            cells_NCG = nn.functional.adaptive_avg_pool2d(found, self.grid).flatten(2)
            return torch.cat([cells_NCG, *(each[..., None] for each in class_NC)], dim=2).flatten(1)
        return found

    def feature_maps(self, pictures_NCHW: Tensor) -> Tensor:
        """What the network gives before it is pooled, float32 (N, C, h, w) or (N, C)."""
        return self._found(pictures_NCHW)[0]

    def _found(self, pictures_NCHW: Tensor) -> tuple[Tensor, ...]:
        scaled = (pictures_NCHW.to(torch.float32) - self.mean) / self.std
        found = self.network(scaled.contiguous(memory_format=torch.channels_last))
        several = found if isinstance(found, tuple) else (found,)
        return tuple(each.float() for each in several)


def cut(
    model: nn.Module, layer: str | None, size: int, name: str, has_classifier: bool = True
) -> nn.Module:
    """The part of a network up to a layer, or up to the pooling before its classifier.

    Args:
        model: a network of pictures (N, 3, H, W), in eval mode.
        layer: module whose output is wanted; None is the last map that the classifier pools, or
            what enters the classifier where it pools none (a transformer's class token).
        size: side of the pictures, in pixels.
        name: of the network, for messages.
        has_classifier: false takes the network's output where no layer is named.

    Raises:
        ActionRNNError: if there is no such layer.
    """
    require_layers(model, [layer] if layer is not None else [], name)
    example = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        if layer is not None:
            graph = _graph_up_to(model, layer)
        elif has_classifier:
            graph = _graph_before_head(model, example)
        else:
            graph = symbolic_trace(model)
    except UNTRACEABLE:
        if layer is None and not has_classifier:
            return model
        return Hooked(model, layer or head_of(model, example), inputs=layer is None)
    return fuse(graph.eval()).eval()


def require_layers(model: nn.Module, layers: Iterable[str], name: str) -> None:
    """Refuse names of modules that a network does not have.

    Raises:
        ActionRNNError: naming the first of them, and what was perhaps meant.
    """
    known = [part for part, _ in model.named_modules()]
    for layer in layers:
        if layer not in known:
            raise ActionRNNError(f"{name} has no layer {layer!r}{near_miss(layer, known)}")


def _graph_up_to(model: nn.Module, layer: str) -> GraphModule:
    from torchvision.models.feature_extraction import create_feature_extractor

    # As a plain graph: the extractor keeps a second one for training, which fuse would trace.
    extractor = create_feature_extractor(model, {layer: "map"}, suppress_diff_warning=True).eval()
    graph: Graph = extractor.graph
    found = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]["map"]
    return _ending_at(GraphModule(extractor, graph), found)


def _graph_before_head(model: nn.Module, example: Tensor) -> GraphModule:
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    last = get_graph_node_names(model, suppress_diff_warning=True)[1][-1]
    whole = create_feature_extractor(model, [last], suppress_diff_warning=True).eval()
    traced = GraphModule(whole, whole.graph)
    entering = _input_of(model, head_of(model, example), example)
    values = _Values(traced)
    values.run(example)
    same = [
        node
        for node, value in values.of.items()
        if value.shape == entering.shape and torch.equal(value, entering)
    ]
    if not same:
        raise NotImplementedError("what enters the classifier is not in the graph")
    return _ending_at(traced, _before_pooling(traced, same[-1], values.of))


def _before_pooling(traced: GraphModule, node: Node, values: dict[Node, Tensor]) -> Node:
    """The last map (N, C, h, w) that is only pooled on its way to `node`; else `node`."""
    found = node
    while not _is_map(values[found]):
        if not _pools(traced, found) or found.all_input_nodes[0] not in values:
            return node
        found = found.all_input_nodes[0]
    return found


def _is_map(value: Tensor) -> bool:
    return value.ndim == 4 and min(value.shape[2:]) > 1


def _pools(traced: GraphModule, node: Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _POOLING)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _POOLING_NAMES


def _ending_at(traced: GraphModule, node: Node) -> GraphModule:
    graph = traced.graph
    graph.erase_node(next(each for each in reversed(graph.nodes) if each.op == "output"))
    with graph.inserting_after(next(iter(reversed(graph.nodes)))):
        graph.output(node)
    graph.eliminate_dead_code()
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced


class _Values(Interpreter):
    """Runs a graph and keeps the tensor of every node."""

    def __init__(self, traced: GraphModule) -> None:
        super().__init__(traced, garbage_collect_values=False)
        self.of: dict[Node, Tensor] = {}

    @torch.inference_mode()
    def run(self, *args: Any, **kwargs: Any) -> Any:
        return super().run(*args, **kwargs)

    def run_node(self, node: Node) -> Any:
        value = super().run_node(node)
        if isinstance(value, Tensor) and node.op != "placeholder":
            self.of[node] = value
        return value


@torch.inference_mode()
def head_of(model: nn.Module, example: Tensor) -> str:
    """Name of the top-level part that holds the last Linear or Conv2d to run: the classifier."""
    ran: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: ran.append(name.partition(".")[0])

    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and name
    ]
    model(example)
    for handle in handles:
        handle.remove()
    return ran[-1]


@torch.inference_mode()
def _input_of(model: nn.Module, part: str, example: Tensor) -> Tensor:
    seen: list[Tensor] = []
    hook = model.get_submodule(part).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(example)
    hook.remove()
    return seen[-1]


class Hooked(nn.Module):
    """A network that cannot be traced: it runs until the wanted tensor is there.

    Args:
        model: the network.
        part: the module of interest.
        inputs: want what enters the module, not what leaves it.
    """

    def __init__(self, model: nn.Module, part: str, inputs: bool) -> None:
        super().__init__()
        self.model = model
        module = model.get_submodule(part)

        def stop(module: nn.Module, args: tuple[Tensor, ...], output: Tensor | None = None) -> None:
            raise _Found(output if output is not None else args[0])

        if inputs:
            module.register_forward_pre_hook(stop)
        else:
            module.register_forward_hook(stop)

    def forward(self, pictures_NCHW: Tensor) -> Tensor:
        """Float pictures to the tensor."""
        try:
            self.model(pictures_NCHW)
        except _Found as found:
            wanted: Tensor = found.args[0]
            return wanted
        raise AssertionError("the layer did not run")


class _Found(Exception):
    """Its one argument is the wanted tensor."""
