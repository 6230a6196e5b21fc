"""Jester v1 (Materzynska et al., ICCV Workshops 2019): 148,092 gestures as folders of pictures."""

from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.official.protocol import Listed, preparer, train_and_validation
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.source.locate import DatasetCard, SourceFiles
from actionrnn.datasets.source.names import inside, numbered_lines

CARD = DatasetCard(
    name="jester",
    title="Jester v1: Materzynska, Berger, Bax, Memisevic, ICCV Workshops 2019",
    homepage="https://www.qualcomm.com/developer/software/jester-dataset",
    licence="free for research after registration; no redistribution",
    size="22.8 GB (numbered parts of one tar.gz)",
    layout="20bn-jester-v1-00, -01, ... (or ID/00001.jpg, ...) and jester-v1-labels.csv, "
    "jester-v1-train.csv, jester-v1-validation.csv, jester-v1-test.csv",
)
PUBLISHED_CLASSES = 27
PUBLISHED_CLIPS = {"train": 118562, "validation": 14787, "test": 14743}


def _read(files: SourceFiles, report: Report) -> Listed:
    def listed(name: str) -> Path:
        return files.named(f"jester-v1-{name}.csv", f"{name}.csv")

    classes = read_classes(listed("labels"))
    report.compare("classes", len(classes), PUBLISHED_CLASSES)
    numbered = [path for path in files.paths if path.name.isdigit()]
    clips = train_and_validation(
        {name: read_list(listed(name), classes) for name in ("train", "validation")},
        read_ids(listed("test")),
        report.only(numbered, key=lambda path: path.name),
        lambda video: files.folders[0] / video,
        PUBLISHED_CLIPS,
        report,
    )
    return Listed(clips, classes)


def read_classes(path: Path) -> list[str]:
    """Class names, one a line."""
    return [line.strip() for _, line in numbered_lines(path)]


def read_list(path: Path, classes: list[str]) -> dict[str, str]:
    """Class of every clip, from lines `ID;CLASS` without a header.

    Raises:
        ManifestError: naming the line with an id that is no number, or an unknown class.
    """
    known = set(classes)
    found: dict[str, str] = {}
    for where, line in numbered_lines(path):
        video, _, label = line.partition(";")
        if label.strip() not in known:
            raise ManifestError(f"{where}: class {label.strip()!r} is not in the labels")
        if _id(video, where) in found:
            raise ManifestError(f"{where}: id {video} is there already")
        found[video] = label.strip()
    return found


def read_ids(path: Path) -> list[str]:
    """Ids of the test list, one a line, some with a `;` behind."""
    return [_id(line.partition(";")[0], where) for where, line in numbered_lines(path)]


def _id(video: str, where: str) -> str:
    if not inside(video, where).isdecimal():
        raise ManifestError(f"{where}: id {video!r} is not a number")
    return video


prepare = preparer(CARD, _read, default_val=0.05, image_folders=True)
