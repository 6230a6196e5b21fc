"""Published weights: where they lie on this machine, and whether they are what their name says.

torchvision and timm load whatever file lies in their cache under the right name. Here a cached
file is compared with the SHA-256 that its publisher wrote into the name (torchvision, timm) or
that the Hugging Face hub named its content by, before anything is read from it.
"""

import re
import sys
import time
import urllib.error
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.features.spec import BackboneConfig
from actionrnn.files import sha256_of_file

FLAG = "--features.backbone.weights"
TIMM = "timm:"
# `resnet18-f37072fd.pth`; and the name of a file on the hub, which is all its content's hash.
_PROMISE = re.compile(r".*-([0-9a-f]{8,64})(?:\.\w+)*|([0-9a-f]{64})")
# Two changes of a file that are nearer than this may leave it with the same times.
_TICK_NANOSECONDS = 3 * 10**9
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def torchvision() -> Any:
    """The library; imported where it is needed, for it brings a second of torch._dynamo."""
    import torchvision as library

    return library


def torchvision_weights(name: str, weights: str) -> Any:
    """Torchvision's record of some weights: their address and their pictures.

    Raises:
        ActionRNNError: if there are none, naming those that are.
    """
    known = torchvision().models.get_model_weights(name)
    names = [*known.__members__, "DEFAULT"]
    if weights not in names:
        raise ActionRNNError(
            f"{name} has no weights {weights!r}{near_miss(weights, names)}; "
            f"known: {', '.join(names)}, random, or a .safetensors or .pth file"
        )
    return known[weights] if weights != "DEFAULT" else known.DEFAULT


def torchvision_weights_of(name: str, sha256: str) -> Any | None:
    """The published weights of a torchvision network that a file's content is, if it is any."""
    if name not in torchvision().models.list_models(module=torchvision().models):
        return None
    for found in torchvision().models.get_model_weights(name):
        promised = _promise(found.url.rpartition("/")[2])
        if promised and sha256.startswith(promised):
            return found
    return None


def timm() -> Any:
    """The library.

    Raises:
        ActionRNNError: if it is not installed.
    """
    try:
        import timm as library
    except ImportError as error:
        raise ActionRNNError("timm is missing: pip install 'actionrnn[timm]'") from error
    return library


def timm_settings(config: BackboneConfig) -> Any | None:
    """What timm knows of a network and its tag (`tf_efficientnet_b0.ap_in1k`): address, pictures.

    Raises:
        ActionRNNError: if there is no such network or tag.
    """
    name = config.name.removeprefix(TIMM)
    if not timm().is_model(name):
        known = timm().list_models()
        raise ActionRNNError(f"timm has no model {name!r}{near_miss(name.split('.')[0], known)}")
    if config.weights not in ("DEFAULT", "random") and not is_file(config.weights):
        name = f"{name.partition('.')[0]}.{config.weights}"
    try:
        return timm().get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = timm().list_pretrained(f"{name.partition('.')[0]}.*")
        raise ActionRNNError(
            f"timm has no weights {name!r}{near_miss(name, tags)}; known: {', '.join(tags)}"
        ) from error


def is_file(weights: str) -> bool:
    """Whether `weights` names a file rather than published weights."""
    return weights.endswith((".safetensors", ".pth", ".pt"))


def published_file(config: BackboneConfig) -> Path:
    """The file of published weights, downloaded if it is not there, and checked.

    Raises:
        ActionRNNError: if it cannot be had, or is another file than its name promises.
    """
    try:
        if not config.name.startswith(TIMM):
            path = _at(torchvision_weights(config.name, config.weights).url)
        else:
            found = timm_settings(config)
            if found is None or not (found.hf_hub_id or found.url):
                raise ActionRNNError(
                    f"timm has no weights for {config.name}; give a file with {FLAG} FILE"
                )
            path = _on_hub(found) if found.hf_hub_id else _at(found.url)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ActionRNNError(
            f"could not download {config.name} weights {config.weights} ({error}). Without a "
            f"network, give a local file: {FLAG} FILE.safetensors; or `random` for untrained "
            f"weights"
        ) from error
    promised = _promise(path.name) or _promise(path.resolve().name)
    sha256 = sha256_of(path)
    if promised and not sha256.startswith(promised):
        raise ActionRNNError(
            f"{path} is not {config.name} weights {config.weights}: its SHA-256 begins with "
            f"{sha256[:8]}, published was {promised[:8]}. Delete it, and it is downloaded again; "
            f"or, if you want these very weights, give the file: {FLAG} FILE"
        )
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; read once by a process, until the file changes."""
    state = path.stat()
    changed = max(state.st_mtime_ns, state.st_ctime_ns)
    if time.time_ns() - changed < _TICK_NANOSECONDS:  # it may change again within one tick
        return sha256_of_file(path)
    return _sha256_of(path, state.st_size, state.st_ino, changed)


@lru_cache(maxsize=16)
def _sha256_of(path: Path, *state: int) -> str:
    return sha256_of_file(path)


def _promise(name: str) -> str:
    """The beginning of a file's SHA-256, as its name has it; empty if it has none."""
    found = _PROMISE.fullmatch(name)
    return (found[1] or found[2]) if found else ""


def _at(url: str) -> Path:
    """Torch's cached copy of an address."""
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=sys.stderr.isatty())
    return path


def _on_hub(found: Any) -> Path:
    """The Hugging Face hub's cached copy."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    repository, _, revision = found.hf_hub_id.partition("@")
    where = {"repo_id": repository, "revision": revision or None}
    files = [found.hf_hub_filename] if found.hf_hub_filename else [*_HUB_FILES]
    for file in files:
        cached = try_to_load_from_cache(filename=file, **where)
        if isinstance(cached, str):
            return Path(cached)
    for file in files[:-1]:
        try:
            return Path(hf_hub_download(filename=file, **where))
        except EntryNotFoundError:
            continue  # the next name
    return Path(hf_hub_download(filename=files[-1], **where))
