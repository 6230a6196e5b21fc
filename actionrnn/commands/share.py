"""`actionrnn share RUN FOLDER`: a model that a stranger can load, with a card."""

from pathlib import Path

from actionrnn.commands.parsing import OPTIONAL_TEXT, options_of, verb_parser
from actionrnn.export.hub import push
from actionrnn.export.share import CARD, share
from actionrnn.progress import tell

TAKES_VERB = False


def main(arguments: list[str]) -> int:
    """Write the folder; with `--push` upload it too."""
    parser = verb_parser("share")
    parser.add_argument("run", type=Path, help="a run folder (its best.ckpt), or a checkpoint")
    parser.add_argument("folder", type=Path, help="where it goes; must not be there")
    parser.add_argument("--licence", **OPTIONAL_TEXT, help="of the head: an SPDX name")
    parser.add_argument("--push", **OPTIONAL_TEXT, help="owner/name on the Hugging Face hub")
    options = options_of(parser, arguments)
    folder = share(options.run, options.folder, options.push, options.licence)
    print(folder)
    tell(f'read {folder / CARD} before you hand it on; load it: actionrnn.load("{folder}")')
    if options.push:
        print(push(folder, options.push))
    return 0
