"""An explained clip, and a survey of explanations, as screens."""

from actionrnn.explain.evidence import ExplainedClip
from actionrnn.explain.survey import Survey
from actionrnn.report.screen import Screen, TableView, row

_FOUND = "the planted span"


def clip_screen(clip: ExplainedClip) -> Screen:
    """What `explain` prints of a clip."""
    judged = [each.faithfulness for each in clip.saliencies.values()]
    peaks = [clip.timestamps_T[int(each.values_T.argmax())] for each in clip.saliencies.values()]
    rows = [row("most telling moment", *(f"{at:.2f} s" for at in peaks), "")]
    for kind, better in (("deletion", "lower"), ("insertion", "higher")):
        areas = [f"{getattr(each, f'{kind}_area'):.2f}" for each in judged]
        mean, sd = (getattr(judged[0], f"random_{kind}_{what}") for what in ("area", "sd"))
        rows.append(row(f"{kind} ({better} is better)", *areas, f"{mean:.2f} ± {sd:.2f}"))
    verdicts = ["yes" if each.is_faithful else "no" for each in judged]
    rows.append(row("better than random in both", *verdicts, ""))
    said = [f"  {gate.title}" for gate in clip.gates] + [f"  note: {note}" for note in clip.notes]
    title = f"{clip.path}: {clip.class_names[clip.label]} {clip.probs_K[clip.label]:.1%}"
    table = TableView(title, ("", *clip.saliencies, "random orders"), rows)
    return Screen("clip", clip.path, "\n".join(said), blocks=[table])


def survey_screen(found: Survey) -> Screen:
    """What `explain --num_clips` prints."""
    methods = list(found.methods.values())
    first = methods[0]

    deletion = f"{first.random_deletion:.2f} ± {first.random_deletion_sd:.2f}"
    insertion = f"{first.random_insertion:.2f} ± {first.random_insertion_sd:.2f}"
    shown = [
        ("deletion (lower is better)", "deletion", deletion),
        ("insertion (higher is better)", "insertion", insertion),
        ("better than random in both", "better_than_random", ""),
    ]
    if first.found is not None:
        by_chance = f"{first.found_chance:.2f}"
        shown += [
            (f"{_FOUND} found", "found", by_chance),
            (f"saliency in {_FOUND}", "mass", by_chance),
        ]
    rows = [
        row(name, *(f"{getattr(each, key):.2f}" for each in methods), chance)
        for name, key, chance in shown
    ]
    said = (
        "deletion: mean probability while frames are hidden, the most salient first; insertion: "
        "while they are shown"
    )
    if found.num_unreadable:
        said += f"\n{found.num_unreadable} clips could not be read and are left out"
    title = f"{found.subset}: explanations of {found.num_clips} clips"
    table = TableView(title, ("", *found.methods, "by chance"), rows)
    return Screen("survey", "Survey", said, blocks=[table])
