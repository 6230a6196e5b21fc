"""Jester v1 (Materzynska et al., ICCV Workshops 2019): 148,092 gestures as folders of pictures."""

from pathlib import Path

from actionrnn.datasets.manifest import Manifest, ManifestError
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip, Missing, publish
from actionrnn.datasets.source.locate import DatasetCard, open_source
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


def prepare(
    source: Path | None,
    root: Path,
    *,
    val: float = 0.05,
    seed: int = 0,
    missing: Missing = "keep",
    check_files: bool = True,
    download: bool = False,
) -> Manifest:
    """Write the manifest of Jester: train and, as test, the validation list.

    A clip's path is its folder of pictures, read at 12 pictures per second.

    Args:
        source: folder with the picture folders (or their archives) and the lists.
        root: where the manifest goes; clip paths are relative to it.
        val: share of the training clips that becomes validation; the official validation list is
            what published results are on (test labels are not published), so it is the test set.
        seed: of that choice.
        missing: keep clips without a folder in the manifest, where they count as errors, or drop
            them.
        check_files: look into every folder; folders of equal size are compared in any case.
        download: there is no public address to fetch from; says where to ask for the files.

    Raises:
        SourceNeeded: without a source: where to get it.
        ManifestError: naming file and line of a list that is not as published.
    """
    files = open_source(CARD, source, root, download, image_folders=True)
    report = Report(f"{CARD.title}, from {', '.join(map(str, files.folders))}")

    def listed(name: str) -> Path:
        return files.named(f"jester-v1-{name}.csv", f"{name}.csv")

    classes = read_classes(listed("labels"))
    report.compare("classes", len(classes), PUBLISHED_CLASSES)
    numbered = [path for path in files.paths if path.name.isdigit()]
    folders = report.only(numbered, key=lambda path: path.name)
    clips: dict[str, Clip] = {}
    for name, part in (("train", "train"), ("validation", "test")):
        rows = read_list(listed(name), classes)
        report.compare(f"clips in the {name} list", len(rows), PUBLISHED_CLIPS[name])
        for video, label in rows.items():
            if video in clips:
                raise ManifestError(f"clip {video} is in both lists")
            file = folders.get(video, files.folders[0] / video)
            clips[video] = Clip(video, file, label, splits={"split1": part})
    unlabelled = read_ids(listed("test"))
    report.compare("clips in the test list", len(unlabelled), PUBLISHED_CLIPS["test"])
    report.notes.append(f"{len(unlabelled)} test clips have no published label: left out")
    report.notes.append("no groups are published: clips of one person may be in train and val")
    known = clips.keys() | set(unlabelled)
    report.add("extra", [str(path) for name, path in folders.items() if name not in known])
    return publish(
        root,
        list(clips.values()),
        classes,
        report,
        official=True,
        missing=missing,
        check_files=check_files,
        val=val,
        seed=seed,
    )


def read_classes(path: Path) -> list[str]:
    """Class names, one a line."""
    return [line.strip() for _, _, line in numbered_lines(path)]


def read_list(path: Path, classes: list[str]) -> dict[str, str]:
    """Class of every clip, from lines `ID;CLASS` without a header.

    Raises:
        ManifestError: naming the line with an id that is no number, or an unknown class.
    """
    known = set(classes)
    found: dict[str, str] = {}
    for _, where, line in numbered_lines(path):
        video, _, label = line.partition(";")
        if label.strip() not in known:
            raise ManifestError(f"{where}: class {label.strip()!r} is not in the labels")
        if _id(video, where) in found:
            raise ManifestError(f"{where}: id {video} is there already")
        found[video] = label.strip()
    return found


def read_ids(path: Path) -> list[str]:
    """Ids of the test list, one a line, some with a `;` behind."""
    return [_id(line.partition(";")[0], where) for _, where, line in numbered_lines(path)]


def _id(video: str, where: str) -> str:
    if not inside(video, where).isdecimal():
        raise ManifestError(f"{where}: id {video!r} is not a number")
    return video
