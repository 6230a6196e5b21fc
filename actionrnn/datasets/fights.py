"""Surveillance Camera Fights (Akti, Tataroglu, Ekenel, IPTA 2019, arXiv 2002.04355).

150 `fight/fi*.mp4` and 150 `noFight/nofi*.mp4` of about two seconds, cut from 44 recordings that
`videos.txt` lists: an address, then the clips cut from it. Nearly all recordings hold both
classes, so a random split shares a recording with train for almost every test clip.
"""

import os
import re
import sys
from pathlib import Path

import pandas as pd

from actionrnn.datasets.manifest import Manifest, ManifestError
from actionrnn.datasets.splits import fold_columns

WHERE = (
    "Surveillance Camera Fights: https://github.com/sayibet/fight-detection-surv-dataset "
    "(MIT licence, about 100 MB)"
)
CLASSES = {"fight": "fi", "noFight": "nofi"}
PUBLISHED_CLIPS = 150  # of each class
_CLIP_LINE = re.compile(r"\s*((?:fi|nofi)\d+)\s*:")


def prepare(
    source: Path | None, root: Path, *, folds: int = 5, val: float = 0.2, seed: int = 0
) -> Manifest:
    """Write the manifest; the videos stay where they are.

    Args:
        source: folder with `fight/`, `noFight/` and `videos.txt`.
        root: where the manifest goes; clip paths are relative to it.
        folds: test folds, one split column each, by recording.
        val: share of the training recordings that become validation.
        seed: of the folds.

    Raises:
        ManifestError: if the source is not given or not this dataset.
    """
    if source is None:
        raise ManifestError(f"get the videos, then pass --source FOLDER. {WHERE}")
    recordings = read_recordings(source / "videos.txt")
    rows = []
    for label, prefix in CLASSES.items():
        files = sorted((source / label).glob(f"{prefix}*.mp4"))
        if len(files) != PUBLISHED_CLIPS:
            print(
                f"warning: {len(files)} clips in {source / label}, published are {PUBLISHED_CLIPS}",
                file=sys.stderr,
            )
        for file in files:
            rows.append(
                {
                    "video_id": file.stem,
                    "path": os.path.relpath(file, root),
                    "label": label,
                    "group": recordings.get(file.stem, "unlisted"),
                }
            )
    if not rows:
        raise ManifestError(f"{source} holds no fight/fi*.mp4: is it the right folder? {WHERE}")
    table = pd.DataFrame(rows)
    columns = fold_columns(table["label"].tolist(), table["group"].tolist(), folds, val, seed)
    manifest = Manifest(root, table.assign(**columns), list(CLASSES))
    manifest.save()
    return manifest


def read_recordings(file: Path) -> dict[str, str]:
    """Recording (`r01` ...) of every clip that `videos.txt` lists.

    Raises:
        ManifestError: if the file is missing or lists nothing.
    """
    if not file.is_file():
        raise ManifestError(f"{file} is missing: without it clips cannot be split by recording")
    found: dict[str, str] = {}
    number = 0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("http"):
            number += 1
        elif clip := _CLIP_LINE.match(line):
            found[clip[1]] = f"r{number:02d}"
    if not found:
        raise ManifestError(f"{file} lists no clips")
    return found
