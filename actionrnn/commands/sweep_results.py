"""What a sweep has found so far: the table of trials, a line each, the best of them."""

from pathlib import Path
from typing import Any

import pandas as pd

from actionrnn.progress import tell

OBJECTIVE = "macro_accuracy"
BROKEN_OFF = "broken_off"


def num_done(study: Any) -> int:
    """Trials that came to an end, good or bad; not those a broken-off sweep left half done."""
    finished = len([trial for trial in study.trials if trial.state.is_finished()])
    return finished - int(study.user_attrs.get(BROKEN_OFF, 0))


def trials_table(study: Any) -> pd.DataFrame:
    """One row a trial that was begun, the best first, those without a score last."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            **trial.user_attrs,
            **trial.params,
        }
        for trial in study.trials
        if trial.state.name != "WAITING"
    ]
    table = pd.DataFrame(rows)
    if OBJECTIVE not in table:
        return table
    return table.sort_values([OBJECTIVE, "trial"], ascending=[False, True], na_position="last")


def after_trial(study: Any, trial: Any, folder: Path, num_trials: int) -> None:
    """After every trial: one line, and the table as it stands."""
    trials_table(study).to_csv(folder / "trials.csv", index=False)
    score = trial.user_attrs.get(OBJECTIVE)
    result = f"{score:.3f}" if score is not None else trial.state.name.lower()
    chosen = " ".join(
        f"{name.rpartition('.')[2]}={value:.3g}" if isinstance(value, float) else str(value)
        for name, value in trial.params.items()
    )
    tell(f"trial {trial.number} ({num_done(study)}/{num_trials}): {result}  {chosen}")
