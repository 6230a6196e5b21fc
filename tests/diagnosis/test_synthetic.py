"""On the embedded dataset the truth is known: the diagnoses must find it.

Pairs of time-reversed classes; a variant in which only a span matters; a variant in which the
background tells the class in training and validation, and lies in the test.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from actionrnn.cli import main
from actionrnn.datasets.synthetic.actions import PAIRS
from actionrnn.datasets.synthetic.prepare import prepare
from actionrnn.diagnosis.bias import diagnose_bias
from actionrnn.diagnosis.order import OrderDiagnosis, diagnose_order
from actionrnn.evaluation.trained import TrainedModel
from actionrnn.explain.survey import survey

pytestmark = pytest.mark.slow
PARTNER = {pair.rising: pair.falling for pair in PAIRS}
PARTNER |= {falling: rising for rising, falling in PARTNER.items()}


class Runs:
    """A GRU trained on each variant, when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.model = cache(self._model)
        self.order = cache(lambda variant: diagnose_order(self.model(variant)))
        self.bias = cache(lambda variant: diagnose_bias(self.model(variant), max_clips=40))

    def _model(self, variant: Any) -> TrainedModel:
        data, run = self.root / variant, self.root / f"run_{variant}"
        prepare(
            None, data, num_clips=200, size=64, min_frames=17, max_frames=33, difficulty="easy",
            variant=variant,
        )  # fmt: skip
        settings = {
            "data.root": data, "data.batch_size": 32, "features.backbone.name": "resnet18",
            "features.backbone.weights": "random", "features.transform.size": 64,
            "features.transform.resize": "squash", "model.cell": "gru", "model.hidden_size": 128,
            "trainer.max_epochs": 30, "trainer.logger": "false", "run.folder": run,
        }  # fmt: skip
        assert main(["fit", *(f"--{key}={value}" for key, value in settings.items())]) == 0
        return TrainedModel.load(run / "checkpoints" / "best.ckpt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("synthetic"))


def accuracies(result: OrderDiagnosis) -> dict[str, float]:
    return {row.key: row.macro_accuracy for row in result.conditions}


def test_heads_blind_to_order_are_at_chance_within_pairs_and_the_gru_is_not(runs: Runs) -> None:
    found = accuracies(runs.order("standard"))
    assert found["ordered"] > 0.8
    assert found["mean_pool"] <= 0.51
    assert found["shuffled"] < 0.65
    assert runs.order("standard").verdict.startswith("too few groups to tell")


def test_reversal_turns_every_class_into_its_partner(runs: Runs) -> None:
    result = runs.order("standard")
    assert accuracies(result)["reversed"] < 0.1
    for row in result.per_class:
        assert row.reversed_as == PARTNER[row.label]
        assert row.reversed_as_share >= 0.5


def test_only_the_decisive_span_matters(runs: Runs) -> None:
    found = accuracies(runs.order("decisive"))
    assert found["ordered"] > 0.75
    assert found["inside"] < found["ordered"] - 0.25
    assert found["outside"] > found["ordered"] - 0.1
    assert "inside" not in accuracies(runs.order("standard"))


def test_the_planted_shortcut_is_found(runs: Runs) -> None:
    result = runs.bias("shortcut")
    assert "SHORTCUT SUSPECTED" in result.verdict
    validation, test = result.background
    assert validation.share > 0.75
    assert test.whole < validation.whole - 0.3


@pytest.mark.parametrize("variant", ["standard", "decisive"])
def test_no_shortcut_is_seen_where_there_is_none(runs: Runs, variant: str) -> None:
    assert "SHORTCUT" not in runs.bias(variant).verdict
    assert runs.bias(variant).background[0].share < 0.6


def test_occlusion_finds_the_decisive_span(runs: Runs) -> None:
    found = survey(runs.model("decisive")).methods
    assert found["occlusion"].found > found["occlusion"].found_chance + 0.2
    assert found["occlusion"].mass > found["occlusion"].found_chance + 0.1
    for each in found.values():
        assert each.deletion < each.random_deletion
        assert each.insertion > each.random_insertion
    assert survey(runs.model("standard"), max_clips=3).methods["occlusion"].found is None
