"""The sections about single clips and about how the run was made."""

import json
import shlex
from pathlib import Path

from actionrnn.report.html.markup import Cell, bar, card, columns, section, table, text
from actionrnn.report.html.run_files import RunFiles
from actionrnn.report.html.thumbnails import Mistake, confident_mistakes, with_frames


def mistakes_section(run: RunFiles, root: Path | None) -> str:
    """The most confident mistakes with frames, and the clips that could not be read."""
    found = with_frames(confident_mistakes(run.predictions), root)
    cards = "".join(_mistake(mistake) for mistake in found)
    unreadable = run.predictions.table[(run.predictions.table["error"] != "").to_numpy()]
    rows = [
        [Cell(text(path)), Cell(text(error))]
        for path, error in zip(unreadable["path"], unreadable["error"], strict=True)
    ]
    listed = card("could not be read", table(["clip", "reason"], rows, tall=True)) if rows else ""
    lead = "The clips that the model was surest about and got wrong." if found else "None."
    shown = f'<div class="mistakes">{cards}</div>'
    return section("mistakes", "Most confident mistakes", shown, listed, lead=lead)


def _mistake(mistake: Mistake) -> str:
    row = mistake.row
    alt = text(row["video_id"])
    frames = "".join(f'<img src="{frame}" alt="{alt}" loading="lazy">' for frame in mistake.frames)
    strip = frames or f'<p class="note">no frames: {text(mistake.problem)}</p>'
    return (
        f'<article class="mistake"><div class="strip">{strip}</div>'
        f'<div class="verdicts"><b class="wrong">{text(row["pred"])}</b>'
        f"{bar(mistake.confidence, kind='bad')}<span>{mistake.confidence:.0%}</span>"
        f'<b class="right">{text(row["label"])}</b>'
        f"{bar(mistake.truth, kind='a')}<span>{mistake.truth:.0%}</span></div>"
        f'<p class="path">{text(row["path"])}</p></article>'
    )


def environment_section(run: RunFiles) -> str:
    """The exact commands, versions, machine and settings."""
    environment = run.environment
    typed = shlex.join(environment["command"]) if environment else ""
    commands = [f"# as it was typed, {environment['time']}", typed] if environment else []
    if run.config:
        commands += ["# the same again", f"actionrnn fit --config {run.folder / 'config.yaml'}"]
    commands += ["# these figures", f"actionrnn test --ckpt_path {run.checkpoint}"]
    versions = {
        **{key: environment.get(key) for key in ("actionrnn", "git", "python", "platform")},
        "cores": environment.get("cpu_count"),
        "GPU": ", ".join(environment.get("devices", [])) or "none",
        **environment.get("packages", {}),
    }
    rows = [[Cell(text(key)), Cell(text(value))] for key, value in versions.items() if value]
    data = json.dumps(run.predictions.about.get("data", {}), indent=2)
    return section(
        "environment",
        "Environment and commands",
        card("commands", f"<pre>{text(chr(10).join(commands))}</pre>"),
        columns(
            card("environment", table(["what", "version"], rows)) if environment else "",
            card("data", f"<pre>{text(data)}</pre>"),
        ),
        f"<details><summary>config.yaml</summary><pre>{text(run.config)}</pre></details>"
        if run.config
        else "",
    )
