"""`actionrnn explain --ckpt_path ... clip.mp4`: why this class, and when."""

import json
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser

from actionrnn.commands.parsing import output_targets
from actionrnn.errors import UsageError, usage_errors
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.records import save_record, to_plain
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.explain.evidence import explain_clip
from actionrnn.explain.survey import survey
from actionrnn.files import publish_json
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.report.explain_screens import clip_screen, survey_screen
from actionrnn.report.film import write_film
from actionrnn.report.sheet import sheet
from actionrnn.report.terminal import print_screen
from actionrnn.training.run_folder import run_folder_of
from actionrnn.video.errors import VideoError

TAKES_VERB = False
Part = Literal["val", "test", "train"]


def main(arguments: list[str]) -> int:
    """Explain video files; or, with `--num_clips`, judge explanations over a part of the split."""
    options = _parse(arguments)
    quiet_libraries()
    folder = Path(options.output_dir or run_folder_of(options.ckpt_path) / "explanations")
    folder.mkdir(parents=True, exist_ok=True)
    if options.num_clips:
        run = TrainedModel.load(
            options.ckpt_path,
            device=options.device,
            weights=options["features.backbone.weights"],
            backbone=options["features.backbone.name"],
        )
        result = survey(run, options["data.subset"], options.num_clips)
        save_record(folder / "survey.json", result)
        if options.json:
            print(json.dumps(to_plain(result)))
        else:
            print_screen(survey_screen(result))
        tell(f"written: {folder / 'survey.json'}")
    return _explain_all(folder, options) if options.videos else 0


def _explain_all(folder: Path, options: Any) -> int:
    """Explain each video; exit code 1 if one could not be read."""
    predictor = ActionPredictor.load(
        options.ckpt_path,
        options.device,
        options["features.backbone.weights"],
        options["features.backbone.name"],
    )
    failures = 0
    for video, target in zip(options.videos, output_targets(folder, options.videos), strict=True):
        try:
            _explain(predictor, video, target, options)
        except VideoError as error:
            failures += 1
            tell(f"{video}\n  could not be read: {error.reason}")
    if failures:
        tell(f"{failures} of {len(options.videos)} videos could not be read")
    return 1 if failures else 0


def _parse(arguments: list[str]) -> Any:
    parser = ArgumentParser(prog="actionrnn explain", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("clips", type=str, nargs="*", help="video files")
    parser.add_argument("--videos", type=str, nargs="+", default=[], help="the same, by name")
    parser.add_argument("--ckpt_path", type=str, required=True, help="a trained model")
    parser.add_argument("--label", type=str | None, default=None, help="default: the predicted")
    parser.add_argument("--output_dir", type=str | None, default=None, help="RUN/explanations")
    parser.add_argument("--film", type=bool, default=True, help="write the annotated MP4")
    parser.add_argument(
        "--num_clips", type=int, default=0, help="judge explanations on so many clips of the split"
    )
    parser.add_argument("--data.subset", type=Part, default="test", help="of which part")
    parser.add_argument("--device", type=str, default="auto", help="for the backbone")
    parser.add_argument(
        "--features.backbone.name", type=str | None, default=None, help="if it is code: trusted"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a clip")
    parser.add_argument(
        "--features.backbone.weights", type=str | None, default=None, help="weights moved here"
    )
    with usage_errors(parser):
        options = parser.parse_args(arguments)
    options.videos = [*options.clips, *options.videos]
    if not options.videos and not options.num_clips:
        raise UsageError(
            "explain needs a video, or --num_clips N for a survey of the test clips: "
            "actionrnn explain --ckpt_path RUN/checkpoints/best.ckpt clip.mp4"
        )
    return options


def _explain(predictor: ActionPredictor, video: str, target: Path, options: Any) -> None:
    clip = explain_clip(predictor, video, options.label)
    sheet(clip).savefig(f"{target}.png", dpi=110)
    written = [f"{target}.png", f"{target}.json"]
    if options.film:
        write_film(clip, Path(f"{target}.mp4"), predictor.spec.settings.reader)
        written.append(f"{target}.mp4")
    figures = clip.to_dict()
    publish_json(Path(f"{target}.json"), figures)
    if options.json:
        print(json.dumps(figures), flush=True)
    else:
        print_screen(clip_screen(clip))
    tell(f"written: {', '.join(written)}")
