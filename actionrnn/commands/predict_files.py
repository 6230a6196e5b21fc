"""`actionrnn predict FILE ... --ckpt_path RUN`: plain video files, folders of them, patterns."""

import glob
import json
from pathlib import Path
from typing import Any

import pandas as pd

from actionrnn.commands.parsing import OPTIONAL_TEXT, add_shared, options_of, verb_parser
from actionrnn.commands.trained import code_of_unread, predictor_of
from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.files import published
from actionrnn.places import is_remote, place
from actionrnn.progress import progress, tell
from actionrnn.report.terminal import print_prediction
from actionrnn.training.checkpoint import background_of
from actionrnn.video.errors import VideoError
from actionrnn.video.formats import VIDEO_ENDINGS, is_picture

VALUED = (
    "--ckpt_path",
    "--top_k",
    "--output",
    "--features.backbone.weights",
    "--features.backbone.name",
)
OUTPUTS = (".csv", ".json", ".parquet")


def names_files(words: list[str]) -> bool:
    """Whether a `predict` command is about plain files and not about a dataset's clips."""
    valued = False
    for word in words:
        if word.partition("=")[0] == "--videos" or not (valued or word.startswith("-")):
            return True
        valued = word.startswith("--") and "=" not in word and word != "--json"
    return False


def predict_files(words: list[str]) -> int:
    """Rank the classes of files; a bad one is said and the rest go on (exit code 1 then)."""
    options = _options(words)
    if background_of(options.ckpt_path) is not None:
        raise UsageError(
            f"{options.ckpt_path} was trained on timelines, and a whole video has no one class: "
            f"actionrnn timeline --ckpt_path {options.ckpt_path} VIDEO says what happens when"
        )
    files = [file for named in (*options.files, *options.videos) for file in found_files(named)]
    predictor = predictor_of(options)
    rows: list[dict[str, Any]] = []
    failures = 0
    for file in progress(files, len(files), "predict"):
        try:
            ranking, error = predictor.predict(file, options.top_k), ""
        except VideoError as unreadable:
            ranking, error = [], str(unreadable)
            failures += 1
        if options.json:
            top = [{"label": label, "probability": p} for label, p in ranking]
            print(json.dumps({"path": file, "top": top, "error": error}), flush=True)
        elif not options.output:
            print_prediction(file, ranking, error)
        rows += [
            {"path": file, "rank": rank, "label": label, "probability": p, "error": ""}
            for rank, (label, p) in enumerate(ranking, start=1)
        ] or [{"path": file, "rank": None, "label": None, "probability": None, "error": error}]
    if options.output:
        _write(pd.DataFrame(rows), Path(options.output))
        tell(f"written: {options.output} ({len(files)} videos)")
    return code_of_unread(failures, len(files))


def found_files(named: str) -> list[str]:
    """The videos behind a file, a folder (all below it, by their endings) or a pattern.

    An address is one video.

    Raises:
        ActionRNNError: if a folder or a pattern holds none.
    """
    if is_remote(named):
        return [str(place(named))]
    if Path(named).is_dir():
        below = sorted(Path(named).rglob("*"))
        found = [str(path) for path in below if path.suffix.lower() in VIDEO_ENDINGS]
        if found or any(is_picture(path.name) for path in Path(named).iterdir()):
            return found or [named]  # a clip may be a folder of pictures
        raise ActionRNNError(f"{named}: no video files in this folder")
    if not Path(named).exists() and glob.has_magic(named):
        matching = sorted(glob.glob(named, recursive=True))
        if not matching:
            raise ActionRNNError(f"{named}: no file matches this pattern")
        return matching
    return [named]


def _options(words: list[str]) -> Any:
    parser = verb_parser("predict")
    parser.add_argument("files", type=str, nargs="*", help="videos, folders or patterns")
    parser.add_argument("--videos", type=str, nargs="+", default=[], help="the same, by name")
    add_shared(parser, "ckpt_path")
    parser.add_argument("--top_k", type=int, default=5, help="classes to show")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--output", **OPTIONAL_TEXT, help=".csv, .json or .parquet")
    add_shared(parser, "features.backbone.weights", "features.backbone.name")
    options = options_of(parser, words)
    if options.top_k < 1:
        raise UsageError(f"--top_k {options.top_k}: must be at least 1")
    if options.output and Path(options.output).suffix not in OUTPUTS:
        raise UsageError(f"--output {options.output}: must end in {', '.join(OUTPUTS)}")
    return options


def _write(table: pd.DataFrame, target: Path) -> None:
    with published(target, ending=target.suffix) as temporary:
        if target.suffix == ".csv":
            table.to_csv(temporary, index=False)
        elif target.suffix == ".json":
            table.to_json(temporary, orient="records", indent=2)
        else:
            table.to_parquet(temporary, index=False)
