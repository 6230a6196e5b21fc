"""UCF101 (Soomro, Zamir, Shah 2012, arXiv 1212.0402): 13,320 clips, 101 classes, three splits."""

import re
from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.official.protocol import Listed, preparer
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip
from actionrnn.datasets.source.download import RemoteFile
from actionrnn.datasets.source.locate import DatasetCard, SourceFiles
from actionrnn.datasets.source.names import inside, numbered_lines

CARD = DatasetCard(
    name="ucf101",
    title="UCF101: Soomro, Zamir, Shah, 2012 (arXiv 1212.0402)",
    homepage="https://www.crcv.ucf.edu/data/UCF101.php",
    licence="none stated; offered for research",
    size="6.5 GB (rar)",
    layout="UCF101.rar (or UCF-101/CLASS/v_CLASS_gNN_cNN.avi) and "
    "UCF101TrainTestSplits-RecognitionTask.zip (classInd.txt, trainlist01.txt, ...)",
    files=(
        RemoteFile("https://www.crcv.ucf.edu/data/UCF101/UCF101.rar"),
        RemoteFile(
            "https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip"
        ),
    ),
)
# Clips in train and test of splits 1 to 3.
PUBLISHED_SPLITS = ((9537, 3783), (9586, 3734), (9624, 3696))
PUBLISHED_CLASSES, PUBLISHED_CLIPS = 101, 13320
_CLIP = re.compile(r"v_(?P<name>\w+)_g(?P<group>\d+)_c(?P<clip>\d+)\.avi")


def _read(files: SourceFiles, report: Report) -> Listed:
    classes = read_classes(files.named("classInd.txt"))
    report.compare("classes", len(classes), PUBLISHED_CLASSES)
    splits: dict[str, dict[str, str]] = {}
    for number, (num_train, num_test) in enumerate(PUBLISHED_SPLITS, start=1):
        for part, published in (("train", num_train), ("test", num_test)):
            listed = read_list(files.named(f"{part}list{number:02d}.txt"), classes)
            report.compare(f"{part} clips in split {number}", len(listed), published)
            for name in listed:
                if splits.setdefault(name, {}).setdefault(f"split{number}", part) != part:
                    raise ManifestError(f"{name} is in both lists of split {number}")
    report.compare("clips in the lists", len(splits), PUBLISHED_CLIPS)
    videos = report.only(files.videos(), key=lambda path: path.name)
    listed_names = {name.rsplit("/", 1)[1] for name in splits}
    report.add("extra", [str(path) for name, path in videos.items() if name not in listed_names])
    clips = [
        Clip(
            video_id=name.rsplit("/", 1)[1].removesuffix(".avi"),
            file=videos.get(name.rsplit("/", 1)[1], files.folders[0] / name),
            label=name.split("/")[0],
            group=group_of(name),
            splits=splits[name],
        )
        for name in sorted(splits)
    ]
    return Listed(clips, list(classes.values()))


def read_classes(path: Path) -> dict[int, str]:
    """`classInd.txt`: lines such as `1 ApplyEyeMakeup`, in order; numbers count from 1.

    Raises:
        ManifestError: naming the line that is not so.
    """
    classes: dict[int, str] = {}
    for where, line in numbered_lines(path):
        number, _, name = line.partition(" ")
        if not number.isdigit() or int(number) != len(classes) + 1 or not name.strip():
            raise ManifestError(f"{where}: {line!r}; expected '{len(classes) + 1} CLASS'")
        classes[int(number)] = name.strip()
    return classes


def read_list(path: Path, classes: dict[int, str]) -> list[str]:
    """Names of a train list (`CLASS/NAME.avi LABEL`) or a test list (`CLASS/NAME.avi`).

    The class is the folder's name: files in `HandstandPushups` are called `v_HandStandPushups_*`.

    Raises:
        ManifestError: naming the line with an unsafe name, an unknown class, a label that is not
            the folder's, a name that is no clip's, or a clip listed twice.
    """
    names: dict[str, str] = {}
    for where, line in numbered_lines(path):
        name, _, number = line.partition(" ")
        folder, _, file = inside(name, where).rpartition("/")
        if folder not in classes.values():
            raise ManifestError(f"{where}: class {folder!r} is not in classInd.txt")
        if number and classes.get(int(number) if number.strip().isdigit() else 0) != folder:
            raise ManifestError(f"{where}: label {number!r} is not that of {folder!r}")
        if not _CLIP.fullmatch(file):
            raise ManifestError(f"{where}: {file!r} is not named v_CLASS_gNN_cNN.avi")
        if name in names:
            raise ManifestError(f"{where}: {name} is there already ({names[name]})")
        names[name] = where
    return list(names)


def group_of(name: str) -> str:
    """Recording of `CLASS/v_CLASS_gNN_cNN.avi`: class and `gNN`; groups count within a class."""
    folder, _, file = name.rpartition("/")
    match = _CLIP.fullmatch(file)
    assert match is not None
    return f"{folder}/g{match['group']}"


prepare = preparer(CARD, _read, default_val=0.1)
