"""Does recurrence help? In words, against the best control of each kind."""

from actionrnn.diagnosis.recurrence import does_recurrence_help
from tests.conftest import MakePredictions

EFFORT = "equal effort"


def test_the_best_of_each_kind_meet_and_the_answer_is_in_words(
    make_predictions: MakePredictions,
) -> None:
    tables = {
        name: [make_predictions(skill=skill, seed=seed) for seed in (1, 2)]
        for name, skill in {
            "gru": 3.0, "rnn": 0.5, "single_frame": 0.2, "mean_pool": 1.0, "motion_mean_pool": 3.0,
        }.items()
    }  # fmt: skip
    blind, motion = does_recurrence_help(tables, EFFORT)
    assert (blind.recurrent, blind.control, motion.control) == (
        "gru",
        "mean_pool",
        "motion_mean_pool",
    )
    assert blind.sentence.startswith("Recurrence helps: the accuracy of GRU is +0.")
    assert "against mean of frames, the best control blind to order (95 % +0." in blind.sentence
    assert blind.sentence.endswith(f"12 groups) ({EFFORT})")
    assert motion.sentence.startswith("Recurrence is not told from noise: the accuracy of GRU is")
    assert "mean of motion, the best control over motion" in motion.sentence


def test_few_groups_cannot_tell_and_controls_alone_are_not_asked(
    make_predictions: MakePredictions,
) -> None:
    one, other = ([make_predictions(num_groups=2, skill=skill)] for skill in (3.0, 0.5))
    (answer,) = does_recurrence_help({"lstm": one, "attentive_probe": other}, EFFORT)
    assert answer.sentence.startswith(
        "Too few groups to tell whether recurrence helps (2 of the 6 it takes): "
    )
    assert does_recurrence_help({"mean_pool": one, "single_frame": other}, EFFORT) == []
    assert does_recurrence_help({"gru": one}, EFFORT) == []
