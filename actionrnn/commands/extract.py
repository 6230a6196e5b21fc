"""`actionrnn extract --data configs/data/x.yaml --backbone NAME`: features, ahead of training."""

import sys

from jsonargparse import ArgumentParser

from actionrnn.commands.config import compose
from actionrnn.commands.parsing import usage_errors
from actionrnn.features.spec import FeatureSettings
from actionrnn.training.data import ActionDataModule, ExtractionSettings

TAKES_VERB = False
SHORT_FORMS = {
    "--backbone": "--features.backbone.name",
    "--weights": "--features.backbone.weights",
}


def main(arguments: list[str]) -> int:
    """Extract what is missing, the same way `fit` does."""
    parser = ArgumentParser(prog="actionrnn extract", exit_on_error=False)
    parser.add_argument("--config", type=str, help="YAML file with `data` and `features`")
    parser.add_class_arguments(ActionDataModule, "data", skip={"features", "extraction"})
    parser.add_class_arguments(FeatureSettings, "features")
    parser.add_class_arguments(ExtractionSettings, "extraction")
    if "--help" in arguments or "-h" in arguments:
        parser.print_help()
        return 0
    config, rest = compose([_long_form(word) for word in arguments])
    own = {key: config[key] for key in ("data", "features", "extraction") if key in config}
    with usage_errors(parser):
        parsed = parser.parse_args(rest, parser.parse_object(own))
        made = parser.instantiate(parsed)
    data = ActionDataModule(
        **dict(parsed.data.items()), features=made.features, extraction=made.extraction
    )
    data.prepare_data()
    store = data.store
    print(
        f"{len(store.video_ids)} clips, {store.num_views} views, D = {store.feature_dim}, "
        f"{len(store.failures)} unreadable"
    )
    print(f"features: {store.folder}", file=sys.stderr)
    return 0


def _long_form(word: str) -> str:
    option, equals, value = word.partition("=")
    return SHORT_FORMS.get(option, option) + equals + value
