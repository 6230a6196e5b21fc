"""`actionrnn explain --ckpt_path ... clip.mp4`: why this class, and when."""

from functools import partial
from pathlib import Path
from typing import Any

from actionrnn.commands.parsing import OPTIONAL_TEXT, add_shared, options_of, verb_parser
from actionrnn.commands.trained import Part, for_each_video, predictor_of, trained_model
from actionrnn.errors import UsageError
from actionrnn.evaluation.predictor import ActionPredictor
from actionrnn.evaluation.records import save_record, to_plain
from actionrnn.explain.evidence import explain_clip
from actionrnn.explain.survey import survey
from actionrnn.files import publish_json
from actionrnn.process import quiet_libraries
from actionrnn.progress import tell
from actionrnn.report.explain_screens import clip_screen, survey_screen
from actionrnn.report.film import write_film
from actionrnn.report.sheet import sheet
from actionrnn.report.terminal import print_found
from actionrnn.training.run_folder import run_folder_of

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Explain video files; or, with `--num_clips`, judge explanations over a part of the split."""
    options = _parse(arguments)
    quiet_libraries()
    folder = Path(options.output_dir or run_folder_of(options.ckpt_path) / "explanations")
    folder.mkdir(parents=True, exist_ok=True)
    if options.num_clips:
        result = survey(trained_model(options), options["data.subset"], options.num_clips)
        save_record(folder / "survey.json", result)
        print_found(to_plain(result), survey_screen(result), options.json)
        tell(f"written: {folder / 'survey.json'}")
    if not options.videos:
        return 0
    explain = partial(_explain, predictor_of(options), options)
    return for_each_video(folder, options.videos, explain)


def _parse(arguments: list[str]) -> Any:
    parser = verb_parser("explain")
    parser.add_argument("clips", type=str, nargs="*", help="video files")
    parser.add_argument("--videos", type=str, nargs="+", default=[], help="the same, by name")
    add_shared(parser, "ckpt_path")
    parser.add_argument("--label", **OPTIONAL_TEXT, help="default: the predicted")
    parser.add_argument("--output_dir", **OPTIONAL_TEXT, help="RUN/explanations")
    parser.add_argument("--film", type=bool, default=True, help="write the annotated MP4")
    survey_help = "judge explanations on so many clips of the split"
    parser.add_argument("--num_clips", type=int, default=0, help=survey_help)
    parser.add_argument("--data.subset", type=Part, default="test", help="of which part")
    parser.add_argument("--device", type=str, default="auto", help="for the backbone")
    add_shared(parser, "features.backbone.name")
    parser.add_argument("--json", action="store_true", help="one JSON object a clip")
    add_shared(parser, "features.backbone.weights")
    options = options_of(parser, arguments)
    options.videos = [*options.clips, *options.videos]
    if not options.videos and not options.num_clips:
        raise UsageError(
            "explain needs a video, or --num_clips N for a survey of the test clips: "
            "actionrnn explain --ckpt_path RUN/checkpoints/best.ckpt clip.mp4"
        )
    return options


def _explain(predictor: ActionPredictor, options: Any, video: str, target: Path) -> None:
    clip = explain_clip(predictor, video, options.label)
    sheet(clip).savefig(f"{target}.png", dpi=110)
    written = [f"{target}.png", f"{target}.json"]
    if options.film:
        write_film(clip, Path(f"{target}.mp4"), predictor.spec.settings.reader)
        written.append(f"{target}.mp4")
    figures = clip.to_dict()
    publish_json(Path(f"{target}.json"), figures)
    print_found(figures, clip_screen(clip), options.json)
    tell(f"written: {', '.join(written)}")
