"""`actionrnn report RUN`: one self-contained HTML page."""

from pathlib import Path

from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.errors import lasting
from actionrnn.report.html.page import write_report
from actionrnn.training.named_runs import run_of

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Write the page and say where it is."""
    parser = verb_parser("report")
    parser.add_argument("run", type=Path, help="a run folder that was tested")
    parser.add_argument("--data.root", type=Path | None, default=None, help="data moved here")
    parser.add_argument(
        "--output", type=Path | None, default=None, help="instead of RUN/report.html"
    )
    options = options_of(parser, arguments)
    page = write_report(run_of(str(options.run)), options["data.root"], options.output)
    print(lasting(page))
    return 0
