"""`actionrnn completion bash|zsh|fish`: a script that completes verbs, settings and recipes."""

import contextlib
import importlib
import io
import re

from actionrnn.cli import VERBS
from actionrnn.commands.parsing import options_of, verb_parser
from actionrnn.commands.recipes import shipped_configs

TAKES_VERB = False
_HELP = """Put it where your shell reads it:
  bash: actionrnn completion bash > ~/.local/share/bash-completion/completions/actionrnn
  zsh:  actionrnn completion zsh > DIR/_actionrnn             with DIR in $fpath
  fish: actionrnn completion fish > ~/.config/fish/completions/actionrnn.fish"""

Words = dict[str, list[str]]


def main(arguments: list[str]) -> int:
    """Print the script of one shell."""
    parser = verb_parser("completion", _HELP)
    parser.add_argument("shell", choices=list(_SCRIPTS), help="which shell")
    options = options_of(parser, arguments)
    settings = {verb: settings_of_verb(verb) for verb in VERBS}
    recipes: Words = {}
    for each in shipped_configs():
        recipes.setdefault(each["flag"], []).append(each["name"])
    print(_SCRIPTS[options.shell](settings, recipes))
    return 0


def settings_of_verb(verb: str) -> list[str]:
    """Every `--setting` that a verb's help names, in its order."""
    module = importlib.import_module(f"actionrnn.commands.{VERBS[verb].module}")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        _ = module.main(verb, ["--help"]) if module.TAKES_VERB else module.main(["--help"])
    found = re.findall(r"(?<![\w-])--[A-Za-z][\w.]*(?:-\w+)*", said.getvalue())
    return list(dict.fromkeys(word for word in found if not word.endswith(".help")))


def _bash(settings: Words, recipes: Words) -> str:
    by_verb, by_flag = (_cases("words='{}'", words) for words in (settings, recipes))
    return f"""_actionrnn() {{
  local words='' current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{" ".join(settings)}'
  elif [[ "$current" == -* ]]; then
    case "${{COMP_WORDS[1]}}" in
{by_verb}
    esac
  else
    case "$before" in
{by_flag}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _actionrnn actionrnn"""


def _zsh(settings: Words, recipes: Words) -> str:
    verbs = "\n".join(f"    '{verb}:{_quoted(VERBS[verb].purpose)}'" for verb in settings)
    by_verb, by_flag = (_cases("compadd -- {}", words) for words in (settings, recipes))
    return f"""#compdef actionrnn
local -a verbs
verbs=(
{verbs}
)
if (( CURRENT == 2 )); then
  _describe 'verb' verbs
elif [[ "$words[CURRENT]" == -* ]]; then
  case "$words[2]" in
{by_verb}
  esac
else
  case "$words[CURRENT-1]" in
{by_flag}
  esac
  _files
fi"""


def _fish(settings: Words, recipes: Words) -> str:
    lines = [
        f"complete -c actionrnn -n __fish_use_subcommand -f -a {verb} "
        f"-d '{_quoted(VERBS[verb].purpose)}'"
        for verb in settings
    ]
    for verb, words in settings.items():
        lines += [
            f"complete -c actionrnn -n '__fish_seen_subcommand_from {verb}' "
            f"-l {word.removeprefix('--')}"
            + (f" -r -a '{' '.join(recipes[word])}'" if word in recipes else "")
            for word in words
        ]
    return "\n".join(lines)


def _cases(command: str, words: Words) -> str:
    """Lines of a `case`: the command with the words of each key."""
    return "\n".join(f"    {key}) {command.format(' '.join(w))} ;;" for key, w in words.items())


def _quoted(text: str) -> str:
    return text.replace("'", "").replace(":", " -")


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
