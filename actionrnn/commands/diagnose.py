"""`actionrnn diagnose order|bias|calibration|gradients --ckpt_path ...`: what a number rests on."""

import json
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from jsonargparse import ArgumentParser

from actionrnn.commands.parsing import import_function
from actionrnn.errors import UsageError, near_miss, usage_errors
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.files import publish_json
from actionrnn.process import quiet_libraries
from actionrnn.report.tables import print_diagnosis

TAKES_VERB = False
Part = Literal["val", "test", "train"]


class Kind(NamedTuple):
    """A diagnosis, the function that makes it, the one that draws it, and what it asks."""

    diagnose: str
    figure: str
    question: str


KINDS = {
    "order": Kind(
        "actionrnn.diagnosis.order:diagnose_order",
        "actionrnn.report.plots:order_figure",
        "does the model use the order of the frames, and which classes need it?",
    ),
    "bias": Kind(
        "actionrnn.diagnosis.bias:diagnose_bias",
        "actionrnn.report.plots:bias_figure",
        "does it need the action, or only the scene? where does it fail? which labels are odd?",
    ),
    "calibration": Kind(
        "actionrnn.diagnosis.calibration:diagnose_calibration",
        "actionrnn.report.plots:calibration_figure",
        "is a probability of 0.8 right in 8 of 10?",
    ),
    "gradients": Kind(
        "actionrnn.diagnosis.gradients:diagnose_gradients",
        "actionrnn.report.plots:gradients_figure",
        "does the learning signal reach the first frame?",
    ),
}


def main(arguments: list[str]) -> int:
    """Make one diagnosis: a table on stdout, JSON and a figure in the run folder."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: actionrnn diagnose KIND --ckpt_path CKPT ...\n\nKIND is one of")
        print("\n".join(f"  {name:<12} {kind.question}" for name, kind in KINDS.items()))
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name not in KINDS:
        raise UsageError(f"there is no diagnosis {name!r}{near_miss(name, list(KINDS))}")
    parser = _parser(name)
    with usage_errors(parser):
        options = parser.parse_args(rest)
    quiet_libraries()
    draw: Callable[[dict[str, Any]], Any] = import_function(KINDS[name].figure)
    run = TrainedModel.load(
        options.ckpt_path,
        root=options["data.root"],
        split=options["data.split"],
        allow_leak=options["data.allow_leak"],
        device=options.device,
        backbone=options["features.backbone.name"],
    )
    extra = {"columns": options.columns, "device": options.device} if name == "bias" else {}
    result = import_function(KINDS[name].diagnose)(run, options["data.subset"], **extra)
    folder = run.folder / "diagnostics"
    folder.mkdir(exist_ok=True)
    publish_json(folder / f"{name}.json", result)
    if options.json:
        print(json.dumps(result))
    else:
        print_diagnosis(name, result)
    draw(result).savefig(folder / f"{name}.png", dpi=150)
    print(f"written: {folder / name}.json, {folder / name}.png", file=sys.stderr)
    return 0


def _parser(name: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"actionrnn diagnose {name}", exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument("--ckpt_path", type=str, required=True, help="a trained model")
    parser.add_argument("--data.root", type=str | None, default=None, help="data moved here")
    parser.add_argument("--data.split", type=str | None, default=None, help="another split")
    parser.add_argument("--data.subset", type=Part, default="test", help="the part to judge")
    parser.add_argument("--data.allow_leak", type=bool, default=False, help="go on, marked so")
    parser.add_argument("--device", type=str, default="auto", help="for the backbone")
    parser.add_argument(
        "--features.backbone.name", type=str | None, default=None, help="if it is code: trusted"
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of a table")
    if name == "bias":
        parser.add_argument(
            "--columns", type=list[str], default=[], help="manifest columns to slice by"
        )
    return parser
