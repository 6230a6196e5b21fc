"""What `import actionrnn` offers: small, documented, cheap until it is used."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import actionrnn
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.summary import summarise
from tests.conftest import MakePredictions

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def run(tiny_run: Path) -> actionrnn.Run:
    return actionrnn.Run.load(tiny_run)


def test_the_import_brings_nothing_heavy() -> None:
    code = "import sys, actionrnn; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_first_use_sets_the_process_as_the_command_line_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else sums differ in their last bits, and the same head comes to other scores."""
    prepared = []
    monkeypatch.setattr(actionrnn, "prepare_process", lambda: prepared.append(True))
    assert actionrnn.Run
    assert prepared


def test_every_public_name_is_there_and_in_the_readme() -> None:
    for name in actionrnn.__all__:
        assert getattr(actionrnn, name)
        assert name == "__version__" or name in README
    with pytest.raises(AttributeError, match="no attribute 'Runs'"):
        actionrnn.Runs  # noqa: B018


def test_a_run_is_found_by_its_folder_and_above(tiny_run: Path, tmp_path: Path) -> None:
    assert actionrnn.Run.load(str(tiny_run.parent)).folder == tiny_run
    with pytest.raises(ActionRNNError, match="actionrnn test --ckpt_path"):
        actionrnn.Run.load(tmp_path)


def test_figures_are_those_of_the_test(run: actionrnn.Run) -> None:
    kept = json.loads((run.folder / "metrics.json").read_text())
    accuracy = run.figures.loc["accuracy"]
    assert accuracy["value"] == pytest.approx(kept["accuracy"])
    assert kept["intervals"]["accuracy"] is None, "too few groups"
    assert np.isnan(accuracy["low"])
    assert run.predictions.figures().equals(run.figures)
    assert run.classes["clips"].sum() == kept["num_clips"]


def test_figures_have_their_intervals(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_groups=12)
    low, high = summarise(scored).figures["accuracy"].interval or (0, 0)
    assert scored.figures().loc["accuracy"].tolist()[1:] == [low, high]


def test_predictions_are_tables(run: actionrnn.Run) -> None:
    scored = actionrnn.Predictions.load(run.folder)
    probs, confusions = scored.probabilities, scored.confusions()
    assert probs.sum(axis=1).to_numpy() == pytest.approx(1)
    assert list(probs.idxmax(axis=1)) == scored.table["pred"].tolist()
    assert confusions.to_numpy().sum() == len(scored.table)
    assert np.diag(confusions).sum() == scored.table["correct"].sum()


def test_features_are_arrays(run: actionrnn.Run, tiny_data: Path) -> None:
    part = run.features("test")
    whole = actionrnn.Features.load(part.store.folder)
    assert len(whole) == 60
    assert part.labels.tolist() == run.predictions.table["label"].tolist()
    assert part.groups.tolist() == run.predictions.table["group"].tolist()
    first = part.read(part.clips["video_id"][0])
    assert part.embeddings()[0] == pytest.approx(first[0].mean(axis=0), rel=1e-5)
    with pytest.raises(ActionRNNError, match="has no features yet"):
        actionrnn.Features.load(_without_features(tiny_data, part.store.folder.parents[2]))


def _without_features(root: Path, parent: Path) -> Path:
    bare = parent / "bare"
    bare.mkdir()
    for name in ("manifest.csv", "classes.txt"):
        (bare / name).write_bytes((root / name).read_bytes())
    return bare


def test_the_classifier_makes_its_scores_of_the_embeddings(run: actionrnn.Run) -> None:
    import torch

    vectors_NH = torch.from_numpy(run.embeddings("test"))
    probs_NK = run.trained.recognizer.head.classifier(vectors_NH).softmax(dim=1).detach()
    assert probs_NK.numpy() == pytest.approx(run.predictions.probabilities.to_numpy(), abs=1e-5)


def test_the_same_head_comes_to_the_same_scores(run: actionrnn.Run) -> None:
    again = run.with_heads(["lstm", "mean_pool"])
    assert again["lstm"].predictions.probabilities.equals(run.predictions.probabilities)
    assert (again["lstm"].against(run)["difference"] == 0).all()
    assert again["mean_pool"].summary.num_parameters < run.summary.num_parameters


def test_a_clip_is_explained_and_drawn(run: actionrnn.Run) -> None:
    video_id = run.predictions.table["video_id"][0]
    clip = run.explain(video_id)
    assert clip.probs_K == pytest.approx(run.predictions.probabilities.loc[video_id], abs=1e-4)
    assert actionrnn.draw(clip).axes
    assert actionrnn.draw(run.predictions).axes
    assert actionrnn.draw(run.diagnose("gradients")).axes
    assert run.frames(video_id).dtype == np.uint8
    assert run.survey(max_clips=2).loc["deletion"].between(0, 1).all()
    with pytest.raises(ActionRNNError, match="no clip 'nothing'"):
        run.explain("nothing")


def test_a_run_folder_is_a_model(run: actionrnn.Run) -> None:
    assert actionrnn.load(run.folder).class_names == run.predictions.class_names
