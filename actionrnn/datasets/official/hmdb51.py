"""HMDB51 (Kuehne et al., ICCV 2011): 6,766 clips, 51 classes, three splits."""

import re
from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.official.protocol import Listed, preparer
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip
from actionrnn.datasets.source.download import RemoteFile
from actionrnn.datasets.source.locate import DatasetCard, SourceFiles
from actionrnn.datasets.source.names import inside, numbered_lines

_FILES = "https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10"
CARD = DatasetCard(
    name="hmdb51",
    title="HMDB51: Kuehne, Jhuang, Garrote, Poggio, Serre, ICCV 2011",
    homepage="https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
    licence="CC BY 4.0",
    size="2.1 GB (rar of rars)",
    layout="hmdb51_org.rar (or CLASS/*.avi) and test_train_splits.rar (CLASS_test_split1.txt, ...)",
    files=(RemoteFile(f"{_FILES}/hmdb51_org.rar"), RemoteFile(f"{_FILES}/test_train_splits.rar")),
)
PUBLISHED_CLASSES, PUBLISHED_CLIPS = 51, 6766
# Clips of every class in train and test of each split.
PUBLISHED_TRAIN, PUBLISHED_TEST = 70, 30
_PARTS = {"0": "unused", "1": "train", "2": "test"}
_LIST = re.compile(r"(?P<label>.+)_test_split(?P<split>[123])\.txt")
# brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi: source, class, visible body part, camera
# motion, number of people, view, quality, number.
_TAGS = r"_[a-z]+_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+\.avi"


def _read(files: SourceFiles, report: Report) -> Listed:
    """The lists have no class index: class ids follow the sorted names."""
    splits = _read_lists(files, report)
    classes = sorted({label for label, _ in splits})
    report.compare("classes", len(classes), PUBLISHED_CLASSES)
    report.compare("clips in the lists", len(splits), PUBLISHED_CLIPS)
    videos = report.only(files.videos(), key=lambda path: f"{path.parent.name}/{path.name}")
    listed = {f"{label}/{name}" for label, name in splits}
    report.add("extra", [str(path) for name, path in videos.items() if name not in listed])
    clips = [
        Clip(
            video_id=f"{label}/{name.removesuffix('.avi')}",
            file=videos.get(f"{label}/{name}", files.folders[0] / label / name),
            label=label,
            group=group_of(label, name),
            splits=splits[label, name],
        )
        for label, name in sorted(splits)
    ]
    return Listed(clips, classes)


def _read_lists(files: SourceFiles, report: Report) -> dict[tuple[str, str], dict[str, str]]:
    """Parts in every split of every (class, clip), from all the lists there are."""
    lists = report.only([p for p in files.paths if _LIST.fullmatch(p.name)], lambda p: p.name)
    if not lists:
        raise ManifestError(
            f"no CLASS_test_split1.txt in {files.folders[0]}; expected are {CARD.layout}"
        )
    report.compare("split lists", len(lists), 3 * PUBLISHED_CLASSES)
    splits: dict[tuple[str, str], dict[str, str]] = {}
    for path in lists.values():
        match = _LIST.fullmatch(path.name)
        assert match is not None
        label, column = match["label"], f"split{match['split']}"
        parts = read_list(path)
        for part, published in (("train", PUBLISHED_TRAIN), ("test", PUBLISHED_TEST)):
            found = sum(value == part for value in parts.values())
            report.compare(f"{part} clips of {label} in {column}", found, published)
        for name, part in parts.items():
            splits.setdefault((label, name), {})[column] = part
    return splits


def read_list(path: Path) -> dict[str, str]:
    """Part of every clip of one class: lines `NAME.avi 1`, 1 = train, 2 = test, 0 = unused.

    Names may hold any character; what follows the last space is the number.

    Raises:
        ManifestError: naming the line that is not so, or lists a clip twice.
    """
    parts: dict[str, str] = {}
    for where, line in numbered_lines(path):
        name, _, number = line.rpartition(" ")
        if number not in _PARTS or not name.endswith(".avi"):
            raise ManifestError(f"{where}: {line!r}; expected 'NAME.avi' and 0, 1 or 2")
        if "/" in inside(name, where):
            raise ManifestError(f"{where}: the file name {name!r} leads into a folder; rejected")
        if name in parts:
            raise ManifestError(f"{where}: {name!r} is there already")
        parts[name] = _PARTS[number]
    return parts


def group_of(label: str, name: str) -> str:
    """Class and source video: the official splits keep these together within a class.

    Across classes they do not: one film may give train clips of one class and test clips of
    another.
    """
    match = re.fullmatch(rf"(?P<source>.*)_{re.escape(label)}{_TAGS}", name)
    return f"{label}/{match['source'] if match else name.removesuffix('.avi')}"


prepare = preparer(CARD, _read, default_val=0.1)
