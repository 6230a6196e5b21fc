"""What `prepare` found: the class table and `report.txt`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.manifest_table import SPLIT_NAMES
from actionrnn.errors import shown
from actionrnn.files import publish_text

REPORT_NAME = "report.txt"
# On the terminal: entries named per heading, and notes.
_NAMED, _NOTES = 3, 10


@dataclass
class Report:
    """Findings of one `prepare`, in the order they were made.

    Attributes:
        title: dataset and source.
        sections: heading and entries; a heading with no entries is a check that passed.
        notes: what is worth a line of its own.
    """

    title: str
    sections: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, heading: str, entries: Iterable[str]) -> None:
        """Add entries under a heading; names in them that hold control characters are escaped."""
        self.sections.setdefault(heading, []).extend(map(shown, entries))

    def compare(self, what: str, found: int, *published: int) -> None:
        """Note a count that is none of the published ones."""
        if found not in published:
            self.notes.append(f"{found} {what}, published are {' or '.join(map(str, published))}")

    def only(self, paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, Path]:
        """The paths by their key; of several with one key the first, the others are reported."""
        self.add("duplicated", [])
        found: dict[str, Path] = {}
        for path in paths:
            first = found.setdefault(key(path), path)
            if first is not path:
                self.add("duplicated", [f"{path} (used is {first})"])
        return found

    def summary(self) -> list[str]:
        """A line for each note and for each heading with entries, naming the first few."""
        lines = self.notes[:_NOTES]
        if len(self.notes) > _NOTES:
            lines.append(f"{len(self.notes) - _NOTES} more of the kind in {REPORT_NAME}")
        for heading, entries in self.sections.items():
            if entries:
                more = ", ..." if len(entries) > _NAMED else ""
                lines.append(f"{heading}: {len(entries)} ({', '.join(entries[:_NAMED])}{more})")
        return lines

    def write(self, root: Path, manifest: Manifest) -> Path:
        """Write everything to `report.txt`; returns its path."""
        parts = [self.title, *self.notes, "", class_table(manifest)]
        for heading, entries in self.sections.items():
            parts += ["", f"{heading}: {len(entries) or 'none'}", *(f"  {e}" for e in entries)]
        path = root / REPORT_NAME
        publish_text(path, shown("\n".join(parts), lines=True) + "\n")
        return path


def class_table(manifest: Manifest, max_classes: int | None = None) -> str:
    """Clips of every class (of timelines: segments), in all and in each part of the first split.

    Args:
        manifest: whose clips are counted.
        max_classes: show only this many, half of them the largest and half the smallest.
    """
    table, unit, class_names = _labelled(manifest)
    counts = table["label"].value_counts().reindex(class_names, fill_value=0).to_frame(unit)
    # A clip without a group is a group of its own.
    groups = table["group"].where(table["group"] != "", "\0" + table["video_id"])
    if (table["group"] != "").any():
        counts["groups"] = groups.groupby(table["label"]).nunique()
    for column in manifest.splits[:1]:
        parts = pd.crosstab(table["label"], table[column])
        counts = counts.join(parts[[name for name in SPLIT_NAMES if name in parts]])
    counts = counts.fillna(0).astype(int)
    total = counts.sum().rename("all")
    rows, left_out = counts, ""
    if max_classes is not None and len(counts) > max_classes:
        ordered = counts.sort_values(unit, ascending=False, kind="stable")
        half = max_classes // 2
        rows = pd.concat([ordered.head(max_classes - half), ordered.tail(half)])
        left_out = f"\n... {len(counts) - max_classes} classes between them are in {REPORT_NAME}"
    if "groups" in counts:
        total["groups"] = groups.nunique()
    text = pd.concat([rows, total.to_frame().T]).to_string()
    smallest, largest = int(counts[unit].min()), int(counts[unit].max())
    if largest > 2 * smallest and manifest.timelines is None:
        left_out += (
            f"\nclasses are uneven ({smallest} to {largest} clips): read the macro figures, and "
            f"consider --data.sampler balanced or --model.class_weights balanced"
        )
    return text + left_out


def _labelled(manifest: Manifest) -> tuple[pd.DataFrame, str, list[str]]:
    """A row for every clip, or segment of a timeline; what they are called, and their classes."""
    if manifest.timelines is None:
        return manifest.table, "clips", manifest.class_names
    segments = manifest.timelines[["video_id", "label"]]
    recordings = manifest.table.drop(columns="label")
    return segments.merge(recordings, on="video_id"), "segments", manifest.class_names[1:]


def lacking_classes(manifest: Manifest) -> list[str]:
    """Classes without a clip in train, val or test of a split: `split1 test: CLASS`."""
    lines = []
    table, _, class_names = _labelled(manifest)
    for column in manifest.splits:
        for name in ("train", "val", "test"):
            present = set(table.loc[(table[column] == name).to_numpy(), "label"])
            lacking = [label for label in class_names if label not in present]
            lines += [f"{column} {name}: {label}" for label in (lacking if present else ())]
    return lines
