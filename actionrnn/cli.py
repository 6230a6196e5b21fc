"""The command line: which verbs there are, and how an error leaves. No logic, no heavy import."""

import importlib
import os
import sys
import traceback
from contextlib import ExitStack
from typing import NamedTuple

from actionrnn.errors import (
    ActionRNNError,
    DataRejected,
    UsageError,
    near_miss,
    of_the_system,
    own_fault,
    shown,
)
from actionrnn.process import interruptible, prepare_process
from actionrnn.version import __version__


class Verb(NamedTuple):
    """A verb, the module that has its `main(argv)`, what it does, words for it; does it decode?"""

    module: str
    purpose: str
    example: str = ""
    decodes: bool = False


BEST = "--ckpt_path RUN/checkpoints/best.ckpt"
VERBS = {
    "demo": Verb("demo", "see it all work: render, extract, train, compare"),
    "prepare": Verb(
        "prepare",
        "turn a dataset, or a folder of videos, into a manifest",
        "folder --source my_videos --root data/mine",
    ),
    "verify": Verb(
        "verify", "decode every clip and say which are broken", "data/mine/manifest.csv"
    ),
    "extract": Verb(
        "extract",
        "compute frozen features once (fit does it too)",
        "--data synthetic --backbone resnet18",
        decodes=True,
    ),
    "features": Verb(
        "features", "info, verify, prune, import, export stores", "info data/mine/features"
    ),
    "fit": Verb("lightning", "train a head", "--config demo_lstm --model.cell gru"),
    "validate": Verb("lightning", "score the validation clips", BEST),
    "test": Verb("lightning", "score the test clips; writes predictions and metrics", BEST),
    "predict": Verb(
        "lightning",
        "rank the classes of clips or of plain video files",
        f"{BEST} --videos a.mp4 b.avi",
    ),
    "folds": Verb(
        "folds", "fit and test every split of a dataset; mean and spread", "--config fights_gru"
    ),
    "sweep": Verb(
        "sweep", "search settings by validation clips alone", "--config fights_gru --trials 30"
    ),
    "compare": Verb(
        "compare",
        "is run B better than A, by more than noise? or: all heads, their cost and accuracy",
        "RUN_A RUN_B",
    ),
    "calibrate": Verb(
        "calibrate", "fit a temperature on validation clips; thresholds of events on streams", BEST
    ),
    "diagnose": Verb(
        "diagnose", "order, bias, calibration, gradients: what a number rests on", f"order {BEST}"
    ),
    "explain": Verb(
        "explain", "why this class, and when: a sheet and a film of a clip", f"{BEST} clip.mp4"
    ),
    "live": Verb(
        "live", "watch a camera, a stream or a file: events as they begin and end", f"0 {BEST}"
    ),
    "timeline": Verb(
        "timeline",
        "what happens when in long videos: segments, subtitles, a picture",
        f"{BEST} long.mp4",
    ),
    "report": Verb("report", "one self-contained HTML page of a run", "RUN"),
    "share": Verb(
        "share",
        "a run as a folder with a model card, for colleagues or the Hugging Face hub",
        "RUN FOLDER",
    ),
    "doctor": Verb("doctor", "what this machine has, what is missing, and what brings it"),
    "interop": Verb(
        "interop",
        "manifests and predictions for torchvision, FiftyOne, Label Studio, CVAT",
        "labelstudio RUN tasks.json",
    ),
    "completion": Verb("completion", "words for the tab key of bash, zsh or fish", "bash"),
    "recipes": Verb("recipes", "the shipped recipes and datasets, a line each"),
    "export": Verb(
        "export",
        "a model for ONNX Runtime, OpenVINO or torch.export, checked against the original",
        f"{BEST} --to onnx",
    ),
}

SYNONYMS = {
    **dict.fromkeys(("train", "run", "learn", "resume"), "fit"),
    **dict.fromkeys(("eval", "evaluate", "score"), "test"),
    **dict.fromkeys(("infer", "classify", "inference"), "predict"),
    **dict.fromkeys(("val", "valid"), "validate"),
    **dict.fromkeys(("tune", "search", "optimize"), "sweep"),
    **dict.fromkeys(("download", "dataset", "import"), "prepare"),
}
"""What other tools call it."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code (0 ok, 1 failure, 2 usage, 3 data rejected)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"actionrnn {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        meant = f"; did you mean {SYNONYMS[verb]}?" if verb in SYNONYMS else ""
        return _fail(f"there is no verb {verb!r}{meant or near_miss(verb, list(VERBS))}", 2)
    debug = "--debug" in rest
    try:
        with interruptible(ends_process=argv is None):
            return _run(verb, [argument for argument in rest if argument != "--debug"])
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted; nothing is half written: run it again", 130)
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _fail(_said(error), _exit_code(error))


def _run(verb: str, words: list[str]) -> int:
    prepare_process()
    with ExitStack() as stack:
        if VERBS[verb].decodes:  # a decoder loads while we do: else the first clip waits 1.5 s
            from actionrnn.video.isolate import DECODING, started_ahead

            stack.enter_context(started_ahead(DECODING))
        if any("://" in word for word in words):  # of runs by their address: folders, copies
            from actionrnn.run_copies import with_copies

            words = stack.enter_context(with_copies(verb, words))
        module = importlib.import_module(f"actionrnn.commands.{VERBS[verb].module}")
        from actionrnn.training.named_runs import with_checkpoints

        words = with_checkpoints(verb, words)
        code: int = module.main(verb, words) if module.TAKES_VERB else module.main(words)
        sys.stdout.flush()
        return code


def _reader_left() -> int:
    """Who reads stdout has read enough (`| head -1`): no error, and nothing more to print."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def help_text() -> str:
    """Every verb with an example."""
    lines = [
        f"actionrnn {__version__}: video action recognition with frozen CNN features and",
        "recurrent heads. Start with `actionrnn demo`.",
        "",
        "usage: actionrnn VERB ...   (actionrnn VERB --help for its settings)",
        "",
    ]
    for name, verb in VERBS.items():
        example = f"actionrnn {name} {verb.example}".rstrip()
        lines += [f"  {name:<9} {verb.purpose}", f"  {'':<9}   {example}"]
    lines += [
        "",
        "exit codes: 0 ok, 1 failure, 2 usage, 3 data rejected, 130/143 interrupted",
        "an error in full, with its traceback: add --debug",
    ]
    return "\n".join(lines)


def _said(error: Exception) -> str:
    if isinstance(error, ActionRNNError | ValueError):
        return str(error)
    return of_the_system(error) if isinstance(error, OSError) else own_fault(error)


def _exit_code(error: Exception) -> int:
    if isinstance(error, UsageError):
        return 2
    return 3 if isinstance(error, DataRejected) else 1


def _fail(message: str, code: int) -> int:
    hint = "\nsee `actionrnn --help`" if code == 2 else ""
    print(shown(f"actionrnn: error: {message}{hint}", lines=True), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
