"""Kinetics-400, -600 and -700 (Kay et al. 2017, arXiv 1705.06950; 1808.01340; 1907.06987)."""

import csv
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official.protocol import Listed, preparer
from actionrnn.datasets.prepare_report import Report
from actionrnn.datasets.publish import Clip
from actionrnn.datasets.source.download import RemoteFile
from actionrnn.datasets.source.locate import DatasetCard, SourceFiles
from actionrnn.datasets.source.names import inside

_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_ID = re.compile(r"[A-Za-z0-9_-]{11}")
# Names under which the official annotations, and their mirrors, come.
_ANNOTATIONS = {
    "train": ("train.csv", "train.txt", "kinetics_train.csv"),
    "val": ("val.csv", "val.txt", "validate.csv", "validation.csv", "kinetics_val.csv"),
    "test": ("test.csv", "test.txt", "kinetics_test.csv"),
}


@dataclass(frozen=True)
class Release:
    """One release: classes, clips per list as published, and where it is hosted.

    Kinetics-700 was published twice; the edition of 2020 is the one that is hosted.
    """

    classes: int
    clips: dict[str, tuple[int, ...]]
    size: str
    arxiv: str
    edition: str
    annotations_ending: str = "csv"
    more: tuple[str, ...] = ()

    @property
    def card(self) -> DatasetCard:
        """Where to get it."""
        site = f"https://s3.amazonaws.com/kinetics/{self.edition}"
        lists = (f"annotations/{part}.{self.annotations_ending}" for part in ("train", "val"))
        return DatasetCard(
            name=f"kinetics{self.classes}",
            title=f"Kinetics-{self.classes} (arXiv {self.arxiv})",
            homepage="https://github.com/cvdfoundation/kinetics-dataset (train, val, test and "
            "annotations)",
            licence="annotations CC BY 4.0; the videos are their YouTube owners'",
            size=self.size,
            layout="train.csv, val.csv and id_%06d_%06d.mp4 files (or their archives) at any depth",
            files=tuple(RemoteFile(f"{site}/{name}") for name in (*lists, *self.more)),
            lists=tuple(
                RemoteFile(f"{site}/{part}/k{self.edition}_{part}_path.txt", folder=part)
                for part in ("train", "val")
            ),
        )


RELEASES = {
    400: Release(
        classes=400,
        clips={"train": (246534,), "val": (19906,), "test": (39805,)},
        size="about 450 GB",
        arxiv="1705.06950",
        edition="400",
        more=("replacement_for_corrupted_k400.tgz",),
    ),
    600: Release(
        classes=600,
        clips={"train": (392622,), "val": (30000,), "test": (60000,)},
        size="about 600 GB",
        arxiv="1808.01340",
        edition="600",
        annotations_ending="txt",
    ),
    700: Release(
        classes=700,
        clips={"train": (545317, 545793), "val": (35000, 34256), "test": (70000, 67858)},
        size="about 700 GB",
        arxiv="1907.06987",
        edition="700_2020",
    ),
}


def _read(release: Release, files: SourceFiles, report: Report) -> Listed:
    # A file from a folder of replacements goes before the one it replaces.
    replaced_first = sorted(files.videos(), key=lambda path: "replacement" not in str(path))
    videos = report.only(replaced_first, key=lambda path: path.stem)
    clips: dict[str, Clip] = {}
    for part in ("train", "val", "test"):
        listed = list(_read_part(files, part, report))
        if listed:
            report.compare(f"clips in the {part} list", len(listed), *release.clips[part])
        unlabelled = sum(not row["label"] for row in listed)
        if unlabelled:
            report.notes.append(f"{unlabelled} {part} clips have no label: left out")
        for row in listed:
            clip = _clip(row, part, videos, files.folders[0])
            if row["label"] and part != "test":
                if clip.video_id in clips:
                    raise ManifestError(f"{row['where']}: clip {clip.video_id} is listed twice")
                clips[clip.video_id] = clip
            else:
                # Known, so not extra; no part of the published protocol.
                videos.pop(clip.video_id, None)
    report.add("extra", [str(path) for name, path in videos.items() if name not in clips])
    classes = sorted({clip.label for clip in clips.values()})
    report.compare("classes", len(classes), release.classes)
    return Listed(list(clips.values()), classes)


def _read_part(files: SourceFiles, part: str, report: Report) -> Iterator[dict[str, str]]:
    try:
        path = files.named(*_ANNOTATIONS[part])
    except ManifestError:
        if part != "test":
            raise
        report.notes.append("no test list; published results are on the validation list")
        return
    yield from read_annotations(path)


def read_annotations(path: Path) -> Iterator[dict[str, str]]:
    """Rows of `label,youtube_id,time_start,time_end,split[,is_cc]`, each with its `where`.

    A list without the column `label` (some test lists) gives empty labels.

    Raises:
        ManifestError: naming the line with an id or a time that is none.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        lacking = set(_COLUMNS[1:4]) - set(reader.fieldnames or ())
        if lacking:
            raise ManifestError(
                f"{path}, line 1: no column {', '.join(sorted(lacking))}; expected is "
                f"{','.join(_COLUMNS)}"
            )
        try:
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                video = inside(row["youtube_id"] or "", where)
                if not _ID.fullmatch(video):
                    raise ManifestError(f"{where}: youtube_id {video!r} is not 11 letters")
                for name in ("time_start", "time_end"):
                    if not re.fullmatch(r"\d+(\.\d+)?", row[name] or ""):
                        raise ManifestError(f"{where}: {name} {row[name]!r} is not in seconds")
                yield {**row, "label": (row.get("label") or "").strip(), "where": where}
        except (csv.Error, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}, line {reader.line_num}: not CSV: {error}") from error


def _clip(row: dict[str, str], part: str, videos: dict[str, Path], folder: Path) -> Clip:
    start, end = (round(float(row[name])) for name in ("time_start", "time_end"))
    stem = f"{row['youtube_id']}_{start:06d}_{end:06d}"
    return Clip(
        video_id=stem,
        file=videos.get(stem, folder / part / f"{stem}.mp4"),
        label=row["label"],
        group=row["youtube_id"],
        splits={"split1": "test" if part == "val" else part},
    )


def _preparer(release: Release) -> Callable[..., Manifest]:
    """Missing clips are dropped, as is the custom: many videos are no longer to be had."""
    read = functools.partial(_read, release)
    return preparer(release.card, read, default_val=0.05, default_missing="drop")


prepare400, prepare600, prepare700 = map(_preparer, RELEASES.values())
