"""The page: sections in order, with its style and script inside."""

from importlib.resources import files
from pathlib import Path

from actionrnn import __version__
from actionrnn.files import publish_text
from actionrnn.report.html.diagnoses import bias_section, gradients_section, order_section
from actionrnn.report.html.markup import text
from actionrnn.report.html.run_files import RunFiles
from actionrnn.report.html.sections import (
    calibration_section,
    classes_section,
    confusion_section,
    curves_section,
    summary_section,
)
from actionrnn.report.html.single_clips import environment_section, mistakes_section

REPORT_NAME = "report.html"
TITLES = {
    "summary": "Summary",
    "curves": "Curves",
    "confusion": "Confusion",
    "classes": "Classes",
    "calibration": "Calibration",
    "order": "Order",
    "bias": "Bias",
    "gradients": "Gradients",
    "mistakes": "Mistakes",
    "environment": "Environment",
}


def write_report(folder: Path, root: Path | None = None, output: Path | None = None) -> Path:
    """Write the page of a run; returns where it is.

    Args:
        folder: a run folder with `predictions.parquet`.
        root: the prepared dataset, for thumbnails; None is where it was when tested.
        output: the file; None is `report.html` in the run folder.

    Raises:
        ActionRNNError: if there are no predictions.
    """
    target = output or folder / REPORT_NAME
    publish_text(target, render(RunFiles.load(folder), root))
    return target


def render(run: RunFiles, root: Path | None = None) -> str:
    """The page as HTML, with nothing to fetch."""
    known = run.predictions.about.get("data", {}).get("root")
    videos = root or (Path(known) if known else None)
    body = "".join(
        (
            summary_section(run),
            curves_section(run),
            confusion_section(run),
            classes_section(run),
            calibration_section(run),
            order_section(run),
            bias_section(run),
            gradients_section(run),
            mistakes_section(run, videos),
            environment_section(run),
        )
    )
    links = "".join(
        f'<a href="#{key}">{title}</a>'
        for key, title in TITLES.items()
        if f'<section id="{key}">' in body
    )
    here = files("actionrnn.report.html")
    style, script = (here.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{text(run.name)}</title><style>{style}</style></head><body>"
        f'<header><div><p class="brand">actionrnn {__version__}</p><h1>{text(run.name)}</h1></div>'
        '<button type="button" id="theme" aria-label="light or dark">◐</button></header>'
        f"<nav>{links}</nav><main>{body}</main><script>{script}</script></body></html>\n"
    )
