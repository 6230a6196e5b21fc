"""`fit --seeds N`: the same run several times over, and the N runs as one model."""

import shlex
from typing import Any

from actionrnn.errors import UsageError, when_interrupted
from actionrnn.evaluation.experiment import folder_of_many, over_seeds, shown, spread
from actionrnn.files import publish_bytes, publish_json
from actionrnn.progress import tell
from actionrnn.report.run_tables import print_rows
from actionrnn.training.checkpoint import joined, read_checkpoint, sealed
from actionrnn.training.fit import fit
from actionrnn.training.settings import Settings, changed


def fit_seeds(settings: Settings) -> int:
    """Validation figures of every seed, their mean and spread; one checkpoint that holds all."""
    if settings.ckpt_path:
        raise UsageError("--seeds starts new runs; resume one of them by itself: --ckpt_path")
    folder = folder_of_many(settings, "seeds")
    with when_interrupted(f"the runs that were finished are kept in {folder}"):
        found = over_seeds(
            settings, folder, lambda alone, where: fit(changed(alone, {"run.folder": str(where)}))
        )
    summary: dict[str, Any] = {
        "subset": "val",
        "seeds": {str(each.figures.seed): shown(each.figures.validation) for each in found},
        **spread([each.figures.validation for each in found]),
    }
    publish_json(folder / "seeds.json", summary)
    print_rows("seed, validation", summary["seeds"], summary["mean"], summary["sd"])
    tell(f"written: {folder / 'seeds.json'}")
    files = [each.best for each in found if each.best is not None]
    if len(files) == len(found):
        together = folder / "checkpoints" / "best.ckpt"
        together.parent.mkdir(exist_ok=True)
        publish_bytes(together, sealed(joined([read_checkpoint(file) for file in files])))
        tell(
            f"{len(found)} seeds as one model, by their mean probability: {together}\n"
            f"next: actionrnn test --ckpt_path {shlex.quote(str(together))}"
        )
    return 0
