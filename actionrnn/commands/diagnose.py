"""`actionrnn diagnose order|bias|calibration|gradients --ckpt_path ...`: what a number rests on."""

from typing import Any

from jsonargparse import ArgumentParser

from actionrnn.commands.parsing import OPTIONAL_TEXT, add_shared, job_of, options_of, verb_parser
from actionrnn.commands.trained import Part, trained_model
from actionrnn.evaluation.records import save_record, to_plain
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.report.diagnoses import DIAGNOSES, screen_of
from actionrnn.report.plots import empty_figure, screen_figure
from actionrnn.report.terminal import print_found

TAKES_VERB = False
KINDS = {
    "order": "does the model use the order of the frames, and which classes need it?",
    "bias": "does it need the action, or only the scene? where does it fail? which labels are odd?",
    "calibration": "is a probability of 0.8 right in 8 of 10?",
    "gradients": "does the learning signal reach the first frame?",
}


def main(arguments: list[str]) -> int:
    """Make one diagnosis: a table on stdout, JSON and a figure in the run folder."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: actionrnn diagnose KIND --ckpt_path CKPT ...\n\nKIND is one of")
        print("\n".join(f"  {name:<12} {question}" for name, question in KINDS.items()))
        return 0 if arguments else 2
    name, rest = job_of(arguments, KINDS, "diagnosis")
    options = options_of(_parser(name), rest)
    quiet_libraries()
    empty_figure(1, 1)  # what is missing is said before minutes of work
    run = trained_model(options)
    extra: dict[str, Any] = {}
    if name == "bias":
        extra = {"columns": _column_names(options.columns), "device": options.device}
    result = DIAGNOSES[name](run, options["data.subset"], **extra)
    _write(name, result, run, options.json)
    return 0


def _write(name: str, result: Any, run: TrainedModel, as_json: bool) -> None:
    """JSON and a figure into the run folder; the one or the tables on stdout."""
    folder = run.folder / "diagnostics"
    folder.mkdir(exist_ok=True)
    save_record(folder / f"{name}.json", result)
    screen = screen_of(result)
    print_found(to_plain(result), screen, as_json)
    screen_figure(screen).savefig(folder / f"{name}.png", dpi=150)
    tell(f"written: {folder / name}.json, {folder / name}.png")


def _parser(name: str) -> ArgumentParser:
    parser = verb_parser(f"diagnose {name}")
    add_shared(parser, "ckpt_path", "data.root")
    parser.add_argument("--data.split", **OPTIONAL_TEXT, help="another split")
    parser.add_argument("--data.subset", type=Part, default="test", help="the part to judge")
    parser.add_argument("--data.allow_leak", type=bool, default=False, help="go on, marked so")
    parser.add_argument("--device", type=str, default="auto", help="for the backbone")
    add_shared(parser, "features.backbone.name")
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of a table")
    add_shared(parser, "features.backbone.weights")
    if name == "bias":
        slices = "manifest columns to slice by: group,camera"
        parser.add_argument("--columns", type=str, default="", help=slices)
    return parser


def _column_names(text: str) -> list[str]:
    """Names with commas between them; brackets may stand around them."""
    names = (name.strip() for name in text.strip("[]").split(","))
    return [name for name in names if name]
