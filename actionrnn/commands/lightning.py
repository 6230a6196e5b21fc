"""`fit`, `validate`, `test`, `predict`: Lightning's verbs, runs over seeds, plain video files."""

from jsonargparse import ArgumentParser

from actionrnn.commands import repeat
from actionrnn.commands.action_cli import quiet_libraries, run
from actionrnn.commands.parsing import usage_errors
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.report.terminal import print_videos

TAKES_VERB = True


def main(verb: str, arguments: list[str]) -> int:
    """Run one of Lightning's verbs."""
    if verb == "predict" and any(word.startswith("--videos") for word in arguments):
        quiet_libraries()
        return predict_videos(arguments)
    if verb == "fit" and repeat.num_seeds(arguments) > 1:
        return repeat.fit_seeds(arguments)
    run(verb, arguments)
    return 0


def predict_videos(arguments: list[str]) -> int:
    """Rank the classes of plain video files; a bad file is said and the rest go on."""
    parser = ArgumentParser(prog="actionrnn predict", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path", type=str, required=True, help="a trained model")
    parser.add_argument("--videos", type=str, nargs="+", required=True, help="video files")
    parser.add_argument("--top_k", type=int, default=5, help="classes to show")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    with usage_errors(parser):
        options = parser.parse_args(arguments)
    predictor = ActionPredictor.load(options.ckpt_path)
    return print_videos(predictor, options.videos, options.top_k, as_json=options.json)
