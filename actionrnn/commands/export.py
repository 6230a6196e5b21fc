"""`actionrnn export --ckpt_path ... --to onnx`: a trained model without this package."""

import json
from pathlib import Path

from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.errors import lasting
from actionrnn.export.model import REPORT_NAME, ExportOptions, export_model
from actionrnn.progress import tell

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Export, and say how near the graphs come to the original."""
    parser = verb_parser("export")
    parser.add_argument("--ckpt_path", type=Path, required=True, help="a trained model")
    parser.add_class_arguments(ExportOptions, skip={"root"})
    parser.add_argument("--data.root", type=Path | None, default=None, help="data moved here")
    parser.add_argument("--json", action="store_true", help="the report on stdout")
    parsed = options_of(parser, arguments)
    names = ("to", "inputs", "output", "num_clips", "videos", "tolerance")
    options = ExportOptions(**{name: parsed[name] for name in names}, root=parsed["data.root"])
    folder = export_model(parsed.ckpt_path, options)
    report = json.loads((folder / REPORT_NAME).read_text())
    if parsed.json:
        print(json.dumps(report))
        return 0
    for kind, found in report["graphs"].items():
        print(
            f"{lasting(folder / found['file'])}: {kind}, {', '.join(found['input_names'])} to "
            f"{', '.join(found['output_names'])}; largest difference of a probability "
            f"{found['largest_difference']:.2g}, same top class in "
            f"{found['top_class_agreement']:.2%} ({found['num_scores']} of "
            f"{found['num_clips']} clips)"
        )
    if "no_step" in report:
        print(f"no step graph: {report['no_step']}")
    tell(f"report: {folder / REPORT_NAME}")
    if options.to == "onnx" and lasting(folder) == str(folder):
        tell(f"next: python {folder / 'run.py'} VIDEO    (onnxruntime, numpy and av are enough)")
    return 0
