"""`actionrnn recipes`: the shipped config files, found by name wherever one stands.

The repository's `configs/` is their one source; a wheel carries a copy as `actionrnn/configs`.
"""

import json
import re
from pathlib import Path

from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.errors import ActionRNNError, near_miss
from actionrnn.features.presets import preset_lines

TAKES_VERB = False
PACKAGE = Path(__file__).parents[1]
# Which flag takes them, by folder.
FLAGS = {"experiment": "--config", "data": "--data", "sweep": "--space", "logger": "--config"}


def config_folder() -> Path:
    """The shipped config files: of the installed package, or of this checkout.

    Raises:
        ActionRNNError: if the installation lost them.
    """
    for folder in (PACKAGE / "configs", PACKAGE.parent / "configs"):
        if (folder / "experiment").is_dir():
            return folder
    raise ActionRNNError(
        f"{PACKAGE} was installed without its recipes: pip install --force-reinstall actionrnn"
    )


def found_config(name: str, *kinds: str) -> str:
    """The file that a config's name means: a path of yours, or a shipped file.

    Args:
        name: `own`, `experiment/own` or `configs/experiment/own.yaml` of the shipped ones, or a
            path, which goes first where there is such a file.
        kinds: folders of shipped files to look in, as `experiment`.

    Raises:
        ActionRNNError: if it is neither, naming what is like it.
    """
    if Path(name).is_file():
        return name
    shipped = config_folder()
    inside = Path(name.removeprefix("configs/")).with_suffix(".yaml")
    if not inside.is_absolute() and ".." not in inside.parts:
        for file in (shipped / inside, *(shipped / kind / inside for kind in kinds)):
            if file.is_file():
                return str(file)
    known = [path.stem for kind in kinds for path in sorted((shipped / kind).glob("*.yaml"))]
    known += [str(path) for path in sorted(Path(name).parent.glob("*.yaml"))]
    raise ActionRNNError(
        f"config file {name} does not exist{near_miss(name, known)}; `actionrnn recipes` lists "
        f"the shipped ones"
    )


def shipped_configs() -> list[dict[str, str]]:
    """Every shipped file: its `name`, `kind`, `flag`, `purpose` (a line) and `path`."""
    found = []
    for kind, flag in FLAGS.items():
        for path in sorted((config_folder() / kind).glob("*.yaml")):
            purpose = _first_sentence(path.read_text())
            found.append(
                {"name": path.stem, "kind": kind, "flag": flag, "purpose": purpose,
                 "path": str(path)}
            )  # fmt: skip
    return found


def _first_sentence(text: str) -> str:
    """Of the comment that a file begins with."""
    comment = text.split("#   ")[0].partition("\nroot:")[0].partition("\nrun:")[0]
    return re.split(r"[.;](?: |$)", " ".join(comment.replace("#", "").split()))[0]


def main(arguments: list[str]) -> int:
    """List them with a line each."""
    parser = verb_parser("recipes")
    parser.add_argument("--json", action="store_true", help="one JSON array on stdout")
    options = options_of(parser, arguments)
    found = shipped_configs()
    if options.json:
        print(json.dumps(found))
        return 0
    for each in found:
        print(f"{each['flag'] + ' ' + each['name']:<28} {each['purpose']}")
    print(f"\nfiles: {config_folder()}    (copy one and change it: --config my.yaml)")
    print("\n--features.backbone.name NAME: weights' licence, cost of a picture of 224 px, feature")
    print("\n".join(f"  {line}" for line in preset_lines()))
    return 0
