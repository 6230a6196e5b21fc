"""`actionrnn fit --help`: the settings people use, in groups; `--help all` shows every one."""

import shutil
import textwrap
from typing import Any

from actionrnn.training.settings import run_parser

EXAMPLES = {
    "fit": (
        "actionrnn fit --config configs/experiment/own.yaml --data.root data/mine",
        "actionrnn fit --config configs/experiment/demo_lstm.yaml --model.cell gru",
        "actionrnn fit --ckpt_path runs/mine --trainer.max_epochs 60    # go on",
    ),
    "validate": ("actionrnn validate --ckpt_path runs/mine",),
    "test": (
        "actionrnn test --ckpt_path runs/mine    # the newest run of that name, its best epoch",
        "actionrnn test --ckpt_path runs/mine/last --data.root /moved/data",
    ),
    "predict": (
        "actionrnn predict new.mp4 folder 'more/*.avi' --ckpt_path runs/mine",
        "actionrnn predict folder --ckpt_path runs/mine --output found.csv",
        "actionrnn predict --ckpt_path runs/mine    # clips of the dataset",
    ),
}
_RUN = ("ckpt_path", "run.name", "run.folder", "seed_everything", "seeds", "refit", "inner")
_DATA = ("data.root", "data.split", "data.batch_size", "data.sampler", "data.val_from_train")
_FEATURES = (
    "features.backbone.name",
    "features.backbone.weights",
    "features.sampling.num_frames",
    "features.transform.size",
    "features.reader",
)
_MODEL = (
    "model.head",
    "model.cell",
    "model.hidden_size",
    "model.num_layers",
    "model.bidirectional",
    "model.pooling",
    "model.inputs",
    "model.dropout",
    "model.learning_rate",
)
_TRAINER = ("trainer.max_epochs", "keep", "early_stopping.patience", "trainer.accelerator")
_SCORED = ("data.root", "data.split", "data.subset", "data.allow_leak", "data.batch_size")
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "fit": {
        "the run": _RUN,
        "the data": _DATA,
        "its features": _FEATURES,
        "the head": _MODEL,
        "training": _TRAINER,
    },
    **{
        verb: {
            "the model": ("ckpt_path", "features.backbone.weights"),
            "the data": _SCORED,
            "where": ("run.folder", "trainer.accelerator"),
        }
        for verb in ("validate", "test", "predict")
    },
}
# Where the parser's own words are Lightning's, or longer than a page of help bears.
_IN_SHORT = {
    "model.head": "`recurrent`; blind to order: `mean_pool`, `mean_pool_mlp`, `single_frame`, "
    "`attentive_probe`; the same over motion: `motion_mean_pool`, ...",
    "model.pooling": "`last`, `mean`, `max`, `attention`, over valid frames only",
    "trainer.max_epochs": "epochs to train for",
    "trainer.accelerator": "where to train: `auto`, `cpu`, `gpu`",
    "early_stopping.patience": "epochs without a better validation score before it ends",
}
_VIDEOS = {
    "FILE ...": "videos, folders of them or quoted patterns, instead of the dataset's clips",
    "--output FILE": "a table instead: .csv, .json or .parquet",
    "--top_k NUMBER": "classes to show (default: 5)",
    "--json": "one JSON object a line",
}


def print_help(verb: str, purpose: str, everything: bool) -> None:
    """Print the help of one of Lightning's verbs.

    Args:
        verb: `fit`, `validate`, `test` or `predict`.
        purpose: what it does, in a line.
        everything: every setting there is, in the parser's own form.
    """
    if everything:
        run_parser().print_help()
        return
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    print(f"actionrnn {verb}: {purpose}\n\nexamples:")
    print("\n".join(f"  {example}" for example in EXAMPLES[verb]))
    print("\nfiles of settings:")
    _print("--config FILE", "a recipe; several are laid on each other", width)
    if verb == "fit":
        _print("--data FILE", "replaces the whole group; likewise --model, --features", width)
    for title, names in GROUPS[verb].items():
        print(f"\n{title}:")
        for name in names:
            _print(f"--{name}", _said(name), width)
    if verb == "predict":
        print("\nplain files:")
        for option, said in _VIDEOS.items():
            _print(option, said, width)
    print(f"\nevery setting, Lightning's own too: actionrnn {verb} --help all")


def _said(name: str) -> str:
    """The help of a setting, its choices and its default."""
    action: Any = run_parser()._option_string_actions[f"--{name}"]
    said = _IN_SHORT.get(name) or " ".join(str(action.help).split()).partition(". ")[0].rstrip(".")
    default = run_parser().get_default(name)
    return f"{said} (default: {'none' if default is None else default})"


def _print(option: str, said: str, width: int) -> None:
    start = f"  {option:<30} "
    if len(start) > 33:
        print(f"  {option}")
        start = " " * 33
    print(textwrap.fill(said, width, initial_indent=start, subsequent_indent=" " * 33))
