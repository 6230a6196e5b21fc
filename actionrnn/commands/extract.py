"""`actionrnn extract --data configs/data/x.yaml --backbone NAME`: features, ahead of training.

Started several times at once it shares the work: by the rank that torchrun, `mpirun` or `srun`
gives each process; by `--shard auto` in a Slurm job array too, whose script `--print-slurm 8`
prints; or by `--shard i/n`. The processes need nothing but the shared folder. One process alone
shares it with a Ray cluster by `--engine ray`: the one of RAY_ADDRESS, or one on this machine.
"""

import sys
from itertools import pairwise

from actionrnn.commands.config import compose
from actionrnn.commands.parsing import OPTIONAL_TEXT, spelled_out, verb_parser
from actionrnn.errors import UsageError, usage_errors, when_interrupted
from actionrnn.features.spec import FeatureSettings
from actionrnn.launcher import parse_share, share_of_launcher, slurm_script
from actionrnn.progress import tell
from actionrnn.training.action_data import ActionData
from actionrnn.training.data_source import ExtractionSettings

TAKES_VERB = False
SLURM_CORES = 4  # of a task of a job array, where --workers does not say
SHORT_FORMS = {
    "--backbone": "--features.backbone.name",
    "--weights": "--features.backbone.weights",
    "--reader": "--features.reader",
    "--runtime": "--features.runtime",
    "--engine": "--extraction.engine",
    "--device": "--extraction.device",
    "--workers": "--extraction.num_workers",
    "--batch-size": "--extraction.batch_size",
    "--on-bad-video": "--extraction.on_bad_video",
    "--max-bad": "--extraction.max_bad",
    "--check-content": "--extraction.check_content",
    "--retry-failed": "--extraction.retry_failed",
}


def main(arguments: list[str]) -> int:
    """Extract what is missing, the same way `fit` does."""
    short = ", ".join(f"{short} is {long}" for short, long in SHORT_FORMS.items())
    about = f"{__doc__}\n\n{short}"
    parser = verb_parser("extract", about)
    parser.add_argument("--config", type=str, help="YAML file with `data` and `features`")
    shares = "i/n: the i-th of n shares, from 0/n on; auto: as the job array or launcher says"
    parser.add_argument("--shard", **OPTIONAL_TEXT, help=shares)
    script = "print a script for sbatch, a job array of N tasks (8) that share this command's work"
    parser.add_argument("--print_slurm", type=int, nargs="?", const=8, metavar="N", help=script)
    parser.add_class_arguments(ActionData, "data", skip={"features", "extraction"})
    parser.add_class_arguments(FeatureSettings, "features")
    parser.add_class_arguments(ExtractionSettings, "extraction")
    if "--help" in arguments or "-h" in arguments:
        parser.print_help()
        return 0
    config, rest = compose(spelled_out(parser, _long_forms(arguments)))
    own = {key: config[key] for key in ("data", "features", "extraction") if key in config}
    with usage_errors(parser):
        parsed = parser.parse_args(rest, parser.parse_object(own))
        made = parser.instantiate(parsed)
    data = ActionData(
        **dict(parsed.data.items()), features=made.features, extraction=made.extraction
    )
    if parsed.print_slurm is not None:
        print(_slurm_script(arguments, parsed.print_slurm, made.extraction.num_workers), end="")
        return 0
    share = parse_share(parsed.shard) if parsed.shard else share_of_launcher()
    if share is not None and made.extraction.engine == "ray":
        raise UsageError(
            f"--engine ray shares the work by itself, and this process has a share already "
            f"({share.source}): start it once, without --shard"
        )
    if share is not None:
        tell(f"share {share.index}/{share.count} ({share.source})")
    with when_interrupted("the features that were computed are kept; the same command goes on"):
        store = data.extract(share=None if share is None else share.part)
    print(
        f"{len(store.video_ids)} clips, {store.num_views} views, "
        f"D = {store.feature_dim if store.video_ids else 0}, {len(store.failures)} unreadable"
    )
    print(f"features: {store.folder}", file=sys.stderr)
    return 0


def _slurm_script(words: list[str], num_tasks: int, num_workers: int | None) -> str:
    """The script of a command, without what asks for the script or names one share."""
    if num_tasks < 1:
        raise UsageError(f"--print-slurm {num_tasks}: must be at least 1")
    kept = [
        word
        for before, word in pairwise(["", *words])
        if not (_is_own(word) or (_is_own(before) and "=" not in before and word[:2] != "--"))
    ]
    return slurm_script(["extract", *kept], num_tasks, num_workers or SLURM_CORES)


def _is_own(word: str) -> bool:
    return word.partition("=")[0].replace("_", "-") in ("--print-slurm", "--shard")


def _long_forms(words: list[str]) -> list[str]:
    parts = (word.partition("=") for word in words)
    return [SHORT_FORMS.get(option, option) + equals + value for option, equals, value in parts]
