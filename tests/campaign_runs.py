"""Runs that are killed, copied, moved, cut off by a full disk, flipped and resumed, at random.

    python tests/campaign_runs.py --trials 100

Every trial trains a small run, does something to it, goes on with it, and holds its weights
against those of a run that nothing happened to. Prints what survived; exit code 1 if anything
did not.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from actionrnn.process import prepare_process

prepare_process()

import torch  # noqa: E402

from actionrnn.cli import main  # noqa: E402
from actionrnn.datasets.synthetic.prepare import prepare  # noqa: E402
from actionrnn.training.run_folder import newest_checkpoint  # noqa: E402
from actionrnn.training.settings import run_parser  # noqa: E402

EPOCHS = 12


class Campaign:
    """A small dataset, and a run on it that nothing happens to."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        torch.set_num_threads(1)
        prepare(None, folder / "data", num_clips=40, size=32, min_frames=9, max_frames=13)
        run_parser()  # once, before processes are forked
        assert self.wait(self.start(folder / "unbroken")) == 0, self.log
        self.expected = weights(folder / "unbroken")

    def words(self, run: Path) -> list[str]:
        return [
            "fit", f"--data.root={self.folder / 'data'}", "--data.batch_size=4",
            "--features.backbone.name=squeezenet1_1", "--features.backbone.weights=random",
            "--features.sampling.num_frames=4", "--features.transform.size=32",
            "--features.transform.resize=squash", "--model.hidden_size=16", "--model.dropout=0.3",
            f"--trainer.max_epochs={EPOCHS}", "--early_stopping.patience=1000",
            "--trainer.logger=false", f"--run.folder={run}",
        ]  # fmt: skip

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(
        self, run: Path, words: list[str] | None = None, before: Callable[[], None] | None = None
    ) -> int:
        """The process of a command: a fork of this one, which has imported everything."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            os.dup2(os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            os.dup2(2, 1)
            if before:
                before()
            code = main(words or self.words(run))
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            os._exit(code)

    def wait(self, child: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def stop(self, run: Path, number: signal.Signals, words: list[str] | None = None) -> int:
        """Send a signal to a training process at a random moment."""
        child = self.start(run, words)
        time.sleep(self.random.uniform(0.05, 1.2))
        os.kill(child, number)
        return self.wait(child)

    def go_on(self, run: Path) -> list[str]:
        """The words that a user would type."""
        newest = newest_checkpoint(run)
        return ["fit", "--ckpt_path", str(newest)] if newest else self.words(run)

    def finish(self, run: Path) -> None:
        """Go on to the end, and compare."""
        code = self.wait(self.start(run, self.go_on(run)))
        check(code == 0, f"going on ended with {code}: {self.log}")
        check(equal(weights(run), self.expected), "the weights are not those of the unbroken run")
        rows = (run / "metrics.csv").read_text().splitlines()
        epochs = [row.split(",")[0] for row in rows[1:]]
        check(epochs == [str(epoch) for epoch in range(EPOCHS)], f"rows of epochs {epochs}")
        hidden = [path.name for path in run.rglob(".*")]
        check(not hidden, f"left over: {hidden}")

    # ---- what happens to runs -----------------------------------------------------------------

    def kill(self, run: Path) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.stop(run, signal.SIGKILL, self.go_on(run))
        self.finish(run)

    def terminate(self, run: Path) -> None:
        code = self.stop(run, signal.SIGTERM)
        check(code in (0, 143, -15), f"SIGTERM: exit code {code}")
        self.finish(run)

    def interrupt(self, run: Path) -> None:
        code = self.stop(run, signal.SIGINT)
        check(code in (0, 130, -2), f"Ctrl-C: exit code {code}")
        self.finish(run)

    def copy(self, run: Path) -> None:
        self.stop(run, signal.SIGKILL)
        copied = run.with_name(f"{run.name}-copy")
        shutil.copytree(run, copied) if run.exists() else copied.mkdir()
        before = hashes(run)
        self.finish(copied)
        check(hashes(run) == before, "the original was changed")

    def move(self, run: Path) -> None:
        self.stop(run, signal.SIGKILL)
        moved = run.with_name(f"{run.name}-moved")
        run.rename(moved) if run.exists() else moved.mkdir()
        self.finish(moved)
        check(not run.exists(), "the old place came back")

    def disk_full(self, run: Path) -> None:
        limit, delay = self.random.randint(0, 40_000), self.random.uniform(0, 0.8)

        def fill() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            small = (limit, resource.RLIM_INFINITY)
            threading.Timer(delay, resource.setrlimit, (resource.RLIMIT_FSIZE, small)).start()

        code = self.wait(self.start(run, before=fill))
        check(code in (0, 1), f"full disk: exit code {code}: {self.log}")
        for file in run.rglob("*.ckpt"):
            torch.load(file, weights_only=True)
        self.finish(run)

    def bit_flip(self, run: Path) -> None:
        self.wait(self.start(run))
        file = run / "checkpoints" / self.random.choice(["best.ckpt", "last.ckpt"])
        content = bytearray(file.read_bytes())
        place = self.random.randrange(len(content))
        content[place] ^= 1 << self.random.randrange(8)
        file.write_bytes(content)
        before = hashes(run)
        for verb in ("test", "fit"):
            code = self.wait(self.start(run, [verb, "--ckpt_path", str(file)]))
            check(code == 1 and "damaged" in self.log, f"{verb} took a flipped bit: {self.log}")
        check(hashes(run) == before, "a refusal changed the run")


def check(is_right: bool, otherwise: str) -> None:
    if not is_right:
        raise AssertionError(otherwise)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def campaign(trials: int, seed: int) -> int:
    """Run the trials; returns how many went wrong."""
    survived: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        here = Campaign(Path(folder), seed)
        events = [here.kill, here.terminate, here.interrupt, here.copy, here.move]
        events += [here.disk_full, here.bit_flip]
        for trial in range(trials):
            event = events[trial % len(events)]
            tried[event.__name__] += 1
            try:
                event(Path(folder, f"run{trial}"))
                survived[event.__name__] += 1
            except AssertionError as error:
                print(f"trial {trial}, {event.__name__}: {error}", flush=True)
            for path in Path(folder).glob(f"run{trial}*"):
                shutil.rmtree(path)
    for name, number in tried.items():
        print(f"{name:<10} {survived[name]} of {number} survived")
    return tried.total() - survived.total()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(1 if campaign(options.trials, options.seed) else 0)
