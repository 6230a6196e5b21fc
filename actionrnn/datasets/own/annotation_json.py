"""Annotations in JSON: Label Studio, VIA 3, and the official files of ActivityNet and THUMOS14.

Label Studio: https://labelstud.io/tags/timelinelabels, whose `ranges` are frames from 1, both ends
included. VIA: https://www.robots.ox.ac.uk/~vgg/software/via, version 3, whose `metadata` with two
times in `z` is a temporal segment. ActivityNet: `database`, a video's `annotations` with `segment`
in seconds and `label`, http://activity-net.org/download.html.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.own.annotations import Annotation

# Label Studio puts eight digits before the name of a file that is uploaded.
_UPLOADED = re.compile(r"(/upload/\d+/)[0-9a-f]{8}-")


def read_json(path: Path) -> list[Annotation]:
    """The annotations of a JSON file, whichever of the three it is.

    Raises:
        ManifestError: naming file and entry.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not JSON: {error}") from error
    try:
        if isinstance(content, list):
            return list(_label_studio(path, content))
        if isinstance(content, dict) and "database" in content:
            return list(_activitynet(path, content["database"]))
        if isinstance(content, dict) and {"metadata", "file", "view"} <= set(content):
            return list(_via(path, content))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ManifestError(
            f"{path}: an entry is not as its tool writes it: {type(error).__name__}: {error}"
        ) from error
    raise ManifestError(
        f"{path}: neither a list of tasks (Label Studio), nor a `database` (ActivityNet, "
        f"THUMOS14), nor a project of VIA 3 (`metadata`, `file`, `view`)"
    )


def _activitynet(path: Path, database: dict[str, Any]) -> Iterator[Annotation]:
    for video, entry in database.items():
        part = str(entry.get("subset", ""))
        yield Annotation(f"{path}, {video}", video, part=part)
        for number, each in enumerate(entry.get("annotations") or []):
            where = f"{path}, {video}, annotation {number}"
            start, end = map(float, each["segment"])
            yield Annotation(where, video, str(each["label"]), start, end, part=part)


def _label_studio(path: Path, tasks: list[dict[str, Any]]) -> Iterator[Annotation]:
    for number, task in enumerate(tasks):
        where = f"{path}, task {task.get('id', number)}"
        video = _video_of(task.get("data", task), where)
        yield Annotation(where, video)
        for ranges, labels in _regions(task):
            if len(labels) != 1:
                raise ManifestError(f"{where}: a region has the labels {labels}; one is wanted")
            for each in ranges:
                first, last = float(each["start"]), float(each["end"])
                yield Annotation(where, video, str(labels[0]), first - 1, last, in_frames=True)


def _regions(task: dict[str, Any]) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    """Ranges and labels of every timeline region: of JSON-MIN, or of the annotation that counts.

    Of several annotations it is the ground truth, or else the first that was not skipped.
    """
    done = [each for each in task.get("annotations", []) if not each.get("was_cancelled")]
    done.sort(key=lambda each: not each.get("ground_truth"))
    values = [region["value"] for each in done[:1] for region in each["result"]]
    if "annotations" not in task:
        values = [each for value in task.values() if isinstance(value, list) for each in value]
    for value in values:
        if isinstance(value, dict) and "timelinelabels" in value:
            yield value["ranges"], value["timelinelabels"]


def _video_of(data: dict[str, Any], where: str) -> str:
    """The file that a task's data names: under `video`, or the only text there is."""
    texts = [value for value in data.values() if isinstance(value, str)]
    text = data.get("video") or data.get("video_url") or (texts[0] if len(texts) == 1 else "")
    if not isinstance(text, str) or not text:
        raise ManifestError(f"{where}: its data names no video (a key `video` is looked for)")
    address = urlsplit(text)
    local = parse_qs(address.query).get("d")  # /data/local-files/?d=folder/a.mp4
    return _UPLOADED.sub(r"\1", local[0] if local else unquote(address.path))


def _via(path: Path, project: dict[str, Any]) -> Iterator[Annotation]:
    files = {str(key): value["fname"] for key, value in project["file"].items()}
    views = {
        str(key): [files[str(fid)] for fid in value["fid_list"]]
        for key, value in project["view"].items()
    }
    attributes = project.get("attribute", {})
    for view, names in views.items():
        yield from (Annotation(f"{path}, view {view}", name) for name in names)
    for key, entry in project["metadata"].items():
        if len(entry["z"]) != 2:
            continue  # a region of a picture, or a single moment
        where = f"{path}, metadata {key}"
        given = {name: str(value) for name, value in entry["av"].items() if str(value)}
        if len(given) != 1:
            raise ManifestError(
                f"{where}: {len(given)} attributes have a value; one is wanted that says what "
                f"happens"
            )
        ((attribute, value),) = given.items()
        label = attributes.get(attribute, {}).get("options", {}).get(value, value)
        for name in views[str(entry["vid"])]:
            yield Annotation(where, name, str(label), float(entry["z"][0]), float(entry["z"][1]))
