"""The page: screens as HTML by templates, with style and script inside and nothing to fetch."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from actionrnn.errors import lasting
from actionrnn.files import publish_text
from actionrnn.report.clip_table import clips_section
from actionrnn.report.html.charts import draw_bar, draw_chart, draw_matrix
from actionrnn.report.html.sections import environment_section, sections
from actionrnn.report.mistakes import confident_mistakes, with_frames
from actionrnn.report.run import Run
from actionrnn.report.screen import Bar, Chart, Matrix, TableView, Text
from actionrnn.version import __version__

REPORT_NAME = "report.html"


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
    publish_text(target, lasting(render(Run.load(folder), root)))
    return target


def render(run: Run, root: Path | None = None) -> str:
    """The page as HTML."""
    known = run.predictions.about.get("data", {}).get("root")
    videos = root or (Path(known) if known else None)
    return page_of(
        "page.html",
        ["page.js"],
        name=run.name,
        Bar=Bar,
        screens=sections(run),
        mistakes=with_frames(confident_mistakes(run.predictions), videos),
        clips=clips_section(run.predictions, videos),
        made=environment_section(run),
    )


def page_of(template: str, scripts: list[str], **values: Any) -> str:
    """A template with style, scripts and these values in it; what comes from a run is escaped."""
    found = Environment(
        loader=PackageLoader("actionrnn.report", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"sentence": sentence, "kind": _kind}
    found.globals |= {"draw_chart": draw_chart, "draw_bar": draw_bar, "draw_matrix": draw_matrix}
    here = files("actionrnn.report.html")
    style = Markup(here.joinpath("page.css").read_text("utf-8"))
    script = Markup("\n".join(here.joinpath(name).read_text("utf-8") for name in scripts))
    page = found.get_template(template)
    return page.render(version=__version__, style=style, script=script, **values)


def sentence(words: str) -> Markup:
    """A verdict as a sentence; what stands in backticks becomes code."""
    parts = str(escape(words[:1].upper() + words[1:])).split("`")
    marked = [f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)]
    return Markup("".join(marked).removesuffix(".") + ".")


def _kind(block: object) -> str:
    kinds = {TableView: "table", Chart: "chart", Matrix: "matrix", Text: "text"}
    return kinds[type(block)]
