"""Something-Something v2 (Goyal et al. 2017, arXiv 1706.04261): 220,847 clips of 174 classes."""

import json
from pathlib import Path
from typing import Any

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.official.protocol import Listed, preparer, train_and_validation
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.source.locate import DatasetCard, SourceFiles
from actionrnn.datasets.source.names import inside

CARD = DatasetCard(
    name="ssv2",
    title="Something-Something v2: Goyal et al., ICCV 2017 (arXiv 1706.04261)",
    homepage="https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
    licence="free for research after registration; no redistribution",
    size="19.4 GB (numbered parts of one tar.gz)",
    layout="20bn-something-something-v2-00, -01, ... (or *.webm) and labels.json, train.json, "
    "validation.json, test.json",
)
PUBLISHED_CLASSES = 174
PUBLISHED_CLIPS = {"train": 168913, "validation": 24777, "test": 27157}
_PREFIX = "something-something-v2-"


def _read(files: SourceFiles, report: Report) -> Listed:
    def listed(name: str) -> Path:
        return files.named(f"{name}.json", f"{_PREFIX}{name}.json")

    classes = read_classes(listed("labels"))
    report.compare("classes", len(classes), PUBLISHED_CLASSES)
    clips = train_and_validation(
        {name: read_list(listed(name), classes) for name in ("train", "validation")},
        read_ids(listed("test")),
        report.only(files.videos(), key=lambda path: path.stem),
        lambda video: files.folders[0] / f"{video}.webm",
        PUBLISHED_CLIPS,
        report,
    )
    return Listed(clips, classes)


def read_classes(path: Path) -> list[str]:
    """Class names by index, from `{"TEMPLATE": "INDEX", ...}`; the indices are strings.

    Raises:
        ManifestError: if the indices do not count from 0.
    """
    labels = _read_json(path, dict)
    by_index = {str(index): name for name, index in labels.items()}
    wanted = [str(number) for number in range(len(labels))]
    if set(by_index) != set(wanted):
        raise ManifestError(f"{path}: the indices of {len(labels)} classes are not 0, 1, 2, ...")
    return [by_index[index] for index in wanted]


def read_list(path: Path, classes: list[str]) -> dict[str, str]:
    """Class of every clip, from `[{"id", "label", "template", "placeholders"}, ...]`.

    The class is the template without its square brackets.

    Raises:
        ManifestError: naming the entry with an unsafe id or an unknown template.
    """
    known = set(classes)
    found: dict[str, str] = {}
    for number, entry in enumerate(_read_json(path, list), start=1):
        where = f"{path}, entry {number}"
        video = _id(entry, where)
        label = str(entry.get("template", "")).replace("[", "").replace("]", "")
        if label not in known:
            raise ManifestError(f"{where}: template {entry.get('template')!r} is not in the labels")
        if video in found:
            raise ManifestError(f"{where}: id {video!r} is there already")
        found[video] = label
    return found


def read_ids(path: Path) -> list[str]:
    """Ids of the test list, whose entries have nothing else."""
    entries = enumerate(_read_json(path, list), start=1)
    return [_id(entry, f"{path}, entry {number}") for number, entry in entries]


def _id(entry: Any, where: str) -> str:
    if not isinstance(entry, dict) or "id" not in entry:
        raise ManifestError(f"{where}: no id in {entry!r}")
    video = inside(str(entry["id"]), where)
    if "/" in video:
        raise ManifestError(f"{where}: id {video!r} leads into a folder; rejected")
    return video


def _read_json(path: Path, kind: type) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, kind):
        raise ManifestError(f"{path}: a {kind.__name__} is expected, found {type(value).__name__}")
    return value


prepare = preparer(CARD, _read, default_val=0.05)
