"""What the official datasets share: from their files to a manifest with the published splits."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip, Missing, publish
from actionrnn.datasets.source.locate import DatasetCard, SourceFiles, open_source


class Listed(NamedTuple):
    """What the lists of a dataset say: its clips, present or not, and its classes in order."""

    clips: Sequence[Clip]
    class_names: Sequence[str]


def preparer(
    card: DatasetCard,
    read: Callable[[SourceFiles, Report], Listed],
    *,
    default_val: float,
    default_missing: Missing = "keep",
    image_folders: bool = False,
) -> Callable[..., Manifest]:
    """The `prepare` function of one dataset.

    Args:
        card: where the dataset is to be had.
        read: reads its lists and finds its files; what it notices goes into the report.
        default_val: share of train that becomes val.
        default_missing: what becomes of clips without a file.
        image_folders: its clips are folders of pictures, named by a number.
    """

    def prepare(
        source: Path | None,
        root: Path,
        *,
        val: float = default_val,
        seed: int = 0,
        missing: Missing = default_missing,
        check_files: bool = True,
        download: bool = False,
    ) -> Manifest:
        """Write the manifest of the dataset with its official splits.

        Where the test labels are not published (Kinetics, Something-Something, Jester), the
        official validation list, which published results are on, is the test set.

        Args:
            source: folder or archive that holds the videos (or their archives) and the lists.
            root: where the manifest goes; clip paths are relative to it.
            val: share of the training clips, by whole groups, that becomes validation.
            seed: of that choice.
            missing: keep clips without a file in the manifest, where they count as errors, or
                drop them.
            check_files: open every file; files of equal size are compared in any case.
            download: fetch the files first (without a source); says where to ask for them if
                they have no public address.

        Raises:
            SourceNeeded: without a source: where to get it.
            ManifestError: naming file and line of a list that is not as published.
        """
        files, report = opened(card, source, root, download, image_folders)
        clips, class_names = read(files, report)
        return publish(
            root,
            clips,
            class_names,
            report,
            official=True,
            missing=missing,
            check_files=check_files,
            val=val,
            seed=seed,
        )

    return prepare


def opened(
    card: DatasetCard,
    source: Path | None,
    root: Path,
    download: bool,
    image_folders: bool = False,
) -> tuple[SourceFiles, Report]:
    """The files of a dataset, and a report that says where they are; see `open_source`."""
    files = open_source(card, source, root, download, image_folders)
    return files, Report(f"{card.title}, from {', '.join(map(str, files.folders))}")


def train_and_validation(
    labels: Mapping[str, Mapping[str, str]],
    unlabelled: Sequence[str],
    places: Mapping[str, Path],
    place: Callable[[str], Path],
    published: Mapping[str, int],
    report: Report,
) -> list[Clip]:
    """Clips of a dataset whose test labels are not published: its validation list is tested.

    Args:
        labels: class of every clip, by id, of the `train` and the `validation` list.
        unlabelled: ids of the test list, which are left out.
        places: what is there, by id.
        place: where a clip would be that is not there.
        published: clips of each list.
        report: gets the counts that differ, and what no list names.

    Raises:
        ManifestError: if a clip is in both lists.
    """
    both = labels["train"].keys() & labels["validation"].keys()
    if both:
        raise ManifestError(f"clip {min(both)} is in both lists")
    for name, listed in {**labels, "test": unlabelled}.items():
        report.compare(f"clips in the {name} list", len(listed), published[name])
    report.notes.append(f"{len(unlabelled)} test clips have no published label: left out")
    report.notes.append("no groups are published: clips of one person may be in train and val")
    clips = [
        Clip(video, places.get(video, place(video)), label, splits={"split1": part})
        for name, part in (("train", "train"), ("validation", "test"))
        for video, label in labels[name].items()
    ]
    known = {clip.video_id for clip in clips} | set(unlabelled)
    report.add("extra", [str(path) for video, path in places.items() if video not in known])
    return clips
