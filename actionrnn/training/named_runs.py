"""Runs named in short: a run folder, or its name below `runs/`, stands for the checkpoint in it."""

from pathlib import Path

from actionrnn.places import is_remote
from actionrnn.progress import tell
from actionrnn.run_copies import fetched

OPTION = "--ckpt_path"
CHOICES = ("best", "last")


def with_checkpoints(verb: str, words: list[str]) -> list[str]:
    """The words of a command with the checkpoint file in place of a run's folder or name.

    `fit` goes on with the last checkpoint; all others take the best, if there is one.
    """
    found = list(words)
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option != OPTION:
            continue
        if equals:
            found[place] = f"{OPTION}={checkpoint_of(value, verb)}"
        elif place + 1 < len(words):
            found[place + 1] = checkpoint_of(words[place + 1], verb)
    return found


def checkpoint_of(named: str, verb: str = "test") -> str:
    """The checkpoint that a name stands for; the name itself where it is none of a run.

    Args:
        named: a file; or a run folder, its name below `runs/`, or a folder of runs, of which the
            newest counts; `/best` or `/last` after it chooses between the two. Of an address
            a copy is fetched.
        verb: what it is for.
    """
    if is_remote(named):
        named = str(fetched(named))
    path = Path(named)
    if path.is_file() or "://" in named or not named:
        return named
    wanted: tuple[str, ...] = ("last", "best") if verb == "fit" else CHOICES
    if path.name in CHOICES and not path.exists():
        path, wanted = path.parent, (path.name,)
    for folder in (path, Path("runs", path)):
        for choice in wanted:
            if file := _newest(folder, choice):
                tell(f"checkpoint: {file}")
                return str(file)
    return named


def run_of(named: str) -> Path:
    """The tested run that a name stands for; the name itself where there is none."""
    named = str(fetched(named)) if is_remote(named) else named
    for folder in (Path(named), Path("runs", named)):
        tables = list(folder.rglob("predictions.parquet")) if folder.is_dir() else []
        if tables:
            direct = folder / "predictions.parquet"
            newest = direct if direct in tables else max(tables, key=_time)
            return newest.parent
    return Path(named)


def _newest(folder: Path, choice: str) -> Path | None:
    """The checkpoint of a run folder, or of the newest run below it."""
    own = folder / "checkpoints" / f"{choice}.ckpt"
    if own.is_file():
        return own
    below = folder.rglob(f"checkpoints/{choice}.ckpt") if folder.is_dir() else ()
    return max(below, key=_time, default=None)


def _time(file: Path) -> float:
    return file.stat().st_mtime
