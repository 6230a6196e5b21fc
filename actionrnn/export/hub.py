"""Shared models on the Hugging Face hub, or on a server that speaks as it does (HF_ENDPOINT)."""

from pathlib import Path

from actionrnn.errors import ActionRNNError
from actionrnn.export.formats import library
from actionrnn.export.share import BACKBONE, CARD, CONFIG, WEIGHTS

ADDRESS = "hf:"


def download(address: str) -> Path:
    """The folder of `hf:owner/name` or `hf:owner/name@revision`, from the cache where it is there.

    Raises:
        ActionRNNError: if it is no address, does not exist, or cannot be reached.
    """
    repository, _, revision = address.removeprefix(ADDRESS).partition("@")
    _check_name(repository)
    hub = library("huggingface_hub", extra="share")
    try:
        folder: str = hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=[CONFIG, WEIGHTS, BACKBONE, CARD],
        )
    except Exception as error:  # of huggingface_hub and of the HTTP client beneath it
        raise ActionRNNError(_why(error, repository, "downloaded")) from error
    return Path(folder)


def push(folder: Path, repository: str) -> str:
    """Upload a shared folder; returns its address.

    Raises:
        ActionRNNError: if nobody is logged in, or the hub refuses or cannot be reached.
    """
    _check_name(repository)
    hub = library("huggingface_hub", extra="share")
    try:
        api = hub.HfApi()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Model from actionrnn share"
        )
    except Exception as error:
        raise ActionRNNError(_why(error, repository, "uploaded")) from error
    return f"{ADDRESS}{repository}"


def _check_name(repository: str) -> None:
    owner, slash, name = repository.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise ActionRNNError(f"{repository!r} is no model of the hub: wanted owner/name")


def _why(error: Exception, repository: str, what: str) -> str:
    kind = type(error).__name__
    said = str(error).strip().splitlines()[0] if str(error).strip() else kind
    if kind in ("RepositoryNotFoundError", "RevisionNotFoundError"):
        advice = "there is no such model, or it is private: check the name, or `hf auth login`"
    elif kind in ("LocalTokenNotFoundError",) or "401" in said or "403" in said:
        advice = "you are not logged in, or may not write there: `hf auth login`"
    elif what == "uploaded":
        advice = "the folder is whole: push it again when the hub can be reached"
    else:
        advice = (
            "without a network, load a folder instead: actionrnn.load(FOLDER); HF_ENDPOINT names "
            "another server"
        )
    return f"{repository} could not be {what} ({kind}: {said[:200]}); {advice}"
