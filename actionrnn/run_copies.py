"""Run folders on an address: a command works in a copy on this machine, which is kept up there.

The copy is fetched before the command begins. While it works, and at its end, what has changed is
put to the address, each file whole and checkpoints after all else, so that what is there is at any
moment a run that can be gone on with.
"""

import atexit
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from actionrnn.cache import cache_folder
from actionrnn.errors import SHOWN_AS, ActionRNNError, UsageError
from actionrnn.launcher import share_of_launcher
from actionrnn.places import (
    NUM_THREADS,
    Object,
    at_hand,
    below,
    found,
    is_remote,
    place,
    put,
    remove,
)
from actionrnn.progress import tell

OPTIONS = ("--run.folder", "--ckpt_path", "--resume", "--config")
# Verbs whose words without an option are runs.
OF_RUNS = ("compare", "report", "share", "interop")
SECONDS_BETWEEN = 30.0  # work on an address that a kill can cost
# What the processes that Lightning starts beside this one find: addresses and folders.
VARIABLE = "ACTIONRNN_RUN_COPIES"


class RunCopy:
    """A run folder's copy on this machine.

    Args:
        address: of the run folder.
        folder: of the copy; must be empty.
        only: files that are brought, where they lie in no run: beside them may lie anything.
    """

    def __init__(self, address: Path, folder: Path, only: Sequence[str] = ()) -> None:
        self.address, self.folder = address, folder
        self._only = only
        self._there: dict[str, Object] = {}
        self._sent: dict[str, tuple[int, int]] = {}
        self._unsure: set[str] = set()  # put, but the answer may have been lost
        self._sending = threading.Lock()

    def fetch(self) -> None:
        """Bring what is at the address.

        Raises:
            ActionRNNError: if a name there leads out of the folder.
            Unreachable: if it cannot be read.
        """
        for name in self._only:
            self._note(name)
        if not self._only:
            self._there = below(self.address)
        for name in self._there:
            if ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name:
                raise ActionRNNError(f"{self.address}: {name!r} is no file of a run folder")

        def bring(name: str) -> None:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with at_hand(self.address / name, self._there[name]) as copy:
                shutil.copyfile(copy, target)

        self.folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            list(threads.map(bring, self._there))
        self._sent = self._states()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was at the address."""
        return not self._there

    def send(self) -> None:
        """Put what has changed to the address, checkpoints last; remove there what is gone here.

        Raises:
            ActionRNNError: if another process has written there meanwhile.
            Unreachable: if it cannot be written.
        """
        with self._sending, tempfile.TemporaryDirectory(dir=self.folder.parent) as kept:
            before = self._states()
            changed = {name for name, state in before.items() if self._sent.get(name) != state}
            models = {name for name in changed if name.endswith(".ckpt")}
            files = {name: self.folder / name for name in sorted(changed - models)}
            # As they are now: figures of a later epoch may stand beside them, never the reverse.
            for number, name in enumerate(sorted(models)):
                files[name] = Path(kept, str(number))
                os.link(self.folder / name, files[name])
            # A sweep's data base is written in place: between two transactions it is whole.
            for number, name in enumerate([name for name in files if name.endswith(".db")]):
                copied = Path(kept, f"{number}.db")
                shutil.copyfile(files.pop(name), copied)
                journal = self.folder / f"{name}-journal"
                if self._states().get(name) == before[name] and not journal.exists():
                    files[name] = copied
            gone = self._sent.keys() - before.keys()
            if files or gone:
                self._require_ours({*files, *gone})
            for name, file in files.items():
                self._unsure.add(name)
                put(file, self.address / name)
                self._note(name)
                self._unsure.remove(name)
                self._sent[name] = before[name]
            for name in gone:
                remove(self.address / name)
                self._note(name)
                del self._sent[name]

    def _note(self, name: str) -> None:
        """What is at the address now, by this process's doing."""
        known = found(self.address / name)
        if known is None:
            self._there.pop(name, None)
        else:
            self._there[name] = known

    def _require_ours(self, names: set[str]) -> None:
        for name in sorted(names - self._unsure):
            if found(self.address / name) != self._there.get(name):
                raise ActionRNNError(
                    f"{self.address}: another process has written {name} there meanwhile; "
                    f"nothing of it is replaced. Let one command at a time work on a run"
                )

    def _states(self) -> dict[str, tuple[int, int]]:
        """Time of change and size of every file, by its path; those being written begin with `.`"""
        states = {}
        for path in self.folder.rglob("[!.]*"):
            if path.is_file() and not path.name.endswith("-journal"):
                state = path.stat()
                name = path.relative_to(self.folder).as_posix()
                states[name] = (state.st_mtime_ns, state.st_size)
        return states


class _Named(NamedTuple):
    """An address among the words of a command.

    Attributes:
        number: of the word.
        run: the run folder that it is, or lies in.
        rest: of the address.
        is_read: there must be a run.
        is_alone: it is a file that lies in no run.
    """

    number: int
    run: Path
    rest: str
    is_read: bool
    is_alone: bool


@contextmanager
def with_copies(verb: str, words: Sequence[str]) -> Iterator[list[str]]:
    """The words of a command with folders in place of the addresses of runs, kept up to the end.

    Args:
        verb: of the command.
        words: behind it.

    Raises:
        ActionRNNError: if there is no run where one is to be read, or another process writes one.
        UsageError: for an address that several processes of a launcher would share.
        Unreachable: if an address cannot be read, or the last changes cannot be put there.
    """
    named = list(_named(verb, words))
    if not named:
        yield list(words)
        return
    known: dict[str, str] = json.loads(os.environ.get(VARIABLE, "{}"))
    with ExitStack() as stack:
        if not known:
            known = stack.enter_context(_kept_up(named))
        found = list(words)
        for each in named:
            option, equals, _ = found[each.number].rpartition("=")
            found[each.number] = option + equals + str(Path(known[str(each.run)], each.rest))
        yield found


def _named(verb: str, words: Sequence[str]) -> Iterator[_Named]:
    """Every run among the words that is named by an address."""
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        if not equals:
            option, value = words[number - 1] if number else "", word
        if not is_remote(value):
            continue
        if option == "--run.root":
            raise UsageError(
                f"--run.root {value}: name the very folder on the storage: "
                f"--run.folder {place(value)}/NAME"
            )
        if option in OPTIONS or (verb in OF_RUNS and not option.startswith("--")):
            run, rest, is_alone = _run_of(value)
            yield _Named(number, run, rest, option != "--run.folder", is_alone)


def _run_of(address: str) -> tuple[Path, str, bool]:
    """The folder that is or holds an address, the rest of it, and whether it is a file in no run.

    A file lies in a run where it stands as runs have it: in `checkpoints`, or beside `config.yaml`
    or `sweep.json`.
    """
    path = place(address)
    is_file = path.suffix in (".ckpt", ".parquet", ".yaml")
    run = path.parent if is_file or path.name in ("best", "last") else path
    in_run = run.name == "checkpoints"
    run = run.parent if in_run else run
    beside = (run / name for name in ("config.yaml", "sweep.json"))
    is_alone = is_file and not in_run and not any(each.is_file() for each in beside)
    return run, str(path).removeprefix(str(run)).strip("/"), is_alone


@contextmanager
def _kept_up(named: Sequence[_Named]) -> Iterator[dict[str, str]]:
    """Folders that are copies of runs, by address, and are kept up while the block runs."""
    if share_of_launcher() is not None:
        raise UsageError(
            f"{named[0].run}: the processes of a launcher cannot share a run folder on an "
            f"address; name a local one, which may be copied there afterwards"
        )
    root = cache_folder().resolve() / "runs"
    root.mkdir(parents=True, exist_ok=True)
    base = Path(tempfile.mkdtemp(dir=root))
    runs = {each.run: Path(base, str(number), each.run.name) for number, each in enumerate(named)}
    whole = {each.run for each in named if not each.is_alone}
    copies = [
        RunCopy(run, folder, [each.rest for each in named if each.run == run and run not in whole])
        for run, folder in runs.items()
    ]
    known = {str(run): str(folder) for run, folder in runs.items()}
    SHOWN_AS.update({folder: address for address, folder in known.items()})  # to the very end
    is_kept = False
    try:
        for copy in copies:
            copy.fetch()
            if copy.is_empty and any(each.is_read for each in named if each.run == copy.address):
                raise ActionRNNError(f"there is no run at {copy.address}")
        os.environ[VARIABLE] = json.dumps(known)
        try:
            with _sending_now_and_then(copies):
                yield known
        except BaseException:
            try:
                _send_last(copies, base)
            except ActionRNNError as error:
                is_kept = True
                tell(f"warning: {error}")
            raise
        is_kept = True
        _send_last(copies, base)
        is_kept = False
    finally:
        os.environ.pop(VARIABLE, None)
        if not is_kept:
            shutil.rmtree(base, ignore_errors=True)


@contextmanager
def _sending_now_and_then(copies: Sequence[RunCopy]) -> Iterator[None]:
    """While the block runs a thread keeps the addresses up; what fails is said, and tried again."""
    done = threading.Event()

    def work() -> None:
        said = ""
        while not done.wait(SECONDS_BETWEEN):
            for copy in copies:
                try:
                    copy.send()
                except ActionRNNError as error:
                    if str(error) != said:
                        tell(f"warning: {error}")
                    said = str(error)

    sender = threading.Thread(target=work, name="run copies", daemon=True)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def _send_last(copies: Sequence[RunCopy], base: Path) -> None:
    for copy in copies:
        try:
            copy.send()
        except ActionRNNError as error:
            raise type(error)(f"{error}\nwhat it did is kept below {base}") from error


@cache
def fetched(address: str) -> Path:
    """A copy of the run at an address, or of the run that it lies in, until this process ends.

    Raises:
        ActionRNNError: if there is none.
        Unreachable: if it cannot be read.
    """
    run, rest, is_alone = _run_of(address)
    base = Path(tempfile.mkdtemp(prefix="actionrnn-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    copy = RunCopy(run, base / run.name, [rest] if is_alone else [])
    copy.fetch()
    if copy.is_empty:
        raise ActionRNNError(f"there is no run at {run}")
    return copy.folder / rest
