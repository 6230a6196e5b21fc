"""`actionrnn interop TOOL SOURCE TARGET`: a dataset, or predictions, as another tool reads them."""

from pathlib import Path

from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.datasets.manifest import Manifest
from actionrnn.evaluation.predictions import Predictions
from actionrnn.export.annotations import TOOLS, write_annotations
from actionrnn.export.layouts import LAYOUTS, write_layout
from actionrnn.progress import tell

TAKES_VERB = False
_WAYS = """A dataset (SOURCE is its folder, TARGET a new one):
  ucf101, hmdb51, kinetics: the layouts of torchvision.datasets;  fiftyone: a folder a class
Predictions (SOURCE is a tested run, TARGET a .json or .csv):
  labelstudio, cvat
Back again: actionrnn prepare ucf101|hmdb51|folder --source FOLDER."""


def main(arguments: list[str]) -> int:
    """Write it, and say what was written."""
    parser = verb_parser("interop", _WAYS)
    parser.add_argument("tool", choices=[*LAYOUTS, *TOOLS], help="whose form")
    parser.add_argument("source", type=Path, help="a dataset's folder, or a run")
    parser.add_argument("target", type=Path, help="a new folder, or a file")
    parser.add_argument("--split", type=str, default="split1", help="of kinetics")
    parser.add_argument("--copy", action="store_true", help="copy the videos, do not link to them")
    parser.add_argument("--prefix", type=str, default="", help="before every path of predictions")
    options = options_of(parser, arguments)
    if options.tool in TOOLS:
        predictions = Predictions.load(options.source)
        count = write_annotations(predictions, options.tool, options.target, options.prefix)
    else:
        manifest = Manifest.load(options.source)
        count = write_layout(manifest, options.tool, options.target, options.split, options.copy)
    print(options.target)
    tell(f"{count} clips")
    return 0
