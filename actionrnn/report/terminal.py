"""Screens and rankings on a terminal: results on stdout, 80 columns where there is no terminal."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from actionrnn.errors import shown
from actionrnn.evaluation.predictor import Ranked, ranked
from actionrnn.report.screen import Screen, TableView


def plain_console() -> Console:
    """A console for results: what stands in brackets or colons in a class name stays text."""
    return Console(highlight=False, markup=False, emoji=False)


def print_found(found: dict[str, Any], screen: Screen, as_json: bool) -> None:
    """Print what was found: its plain data as a line of JSON, or its screen."""
    if as_json:
        print(json.dumps(found), flush=True)
    else:
        print_screen(screen)


def print_screen(screen: Screen) -> None:
    """Print the tables of a screen, what they rest on and its verdict, alarms last."""
    console = plain_console()
    for table in screen.tables:
        _print_table(table, console)
    if screen.verdict:
        console.print(shown(screen.verdict, lines=True))
    if screen.alarm:
        console.print(shown(screen.alarm, lines=True), style="bold red")


def _print_table(view: TableView, console: Console) -> None:
    """Print a table without its bars."""
    rows = view.rows[: view.most]
    kept = [n for n in range(len(view.columns)) if not any(row[n].bar for row in view.rows)]
    title = view.title
    if len(view.rows) > len(rows):
        title += f" (the first {len(rows)} of {len(view.rows)})"
    table = Table(*(view.columns[n] for n in kept), title=shown(title), title_justify="left")
    before = ""
    for row in rows:
        texts = [shown(row[n].text, lines=True) for n in kept]
        # A name that repeats down the first column is said once.
        repeats = texts[0] == before and view.columns[kept[0]] == "column"
        table.add_row("" if repeats else texts[0], *texts[1:])
        before = texts[0]
    console.print(table)


def print_ranking(path: str, class_names: list[str], probs_K: Any, error: str) -> None:
    """Print the best classes of one clip of a predictions table, or why there are none."""
    print_prediction(path, [] if error else ranked(class_names, probs_K, 5), error)


def print_prediction(path: str, ranking: list[Ranked], error: str) -> None:
    """Print the best classes of one file, or why there are none."""
    if error:
        print(f"{shown(path)}\n  could not be read: {shown(error)}")
        return
    print(shown(path))
    for place, (label, probability) in enumerate(ranking, start=1):
        print(f"  {place}. {shown(label):<28} {probability:6.1%}")
