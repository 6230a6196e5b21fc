"""Shipped config files are found by name, wherever the command runs."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from actionrnn.cli import VERBS, main
from actionrnn.commands.completion import settings_of_verb
from actionrnn.commands.recipes import config_folder, found_config, shipped_configs
from actionrnn.commands.run_settings import settings_of


@pytest.mark.parametrize(
    "name", ["own", "experiment/own", "configs/experiment/own.yaml", "configs/experiment/own"]
)
def test_a_recipe_has_one_meaning_by_any_of_its_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(found_config(name, "experiment")) == config_folder() / "experiment" / "own.yaml"
    words = ["--config", name, "--data", "ucf101", "--data.root", "x"]
    assert settings_of("fit", words).model.hidden_size == 64


def test_a_file_of_yours_goes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").write_text("model:\n  hidden_size: 8\n")
    assert settings_of("fit", ["--config", "own", "--data.root", "x"]).model.hidden_size == 8


@pytest.mark.parametrize("name", ["owm", "../experiment/own", "/experiment/own"])
def test_a_name_that_is_none_says_what_is_like_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", name]) == 1
    said = capsys.readouterr().err
    assert f"config file {name} does not exist" in said
    assert "actionrnn recipes" in said
    assert name != "owm" or "did you mean own" in said


def test_every_recipe_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for each in shipped_configs():
        (line,) = [line for line in lines if line.startswith(f"{each['flag']} {each['name']} ")]
        assert len(line) > 40
    assert main(["recipes", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(shipped_configs())


def completed(script: Path, *words: str) -> list[str]:
    typed = " ".join(f"'{word}'" for word in words)
    command = (
        f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _actionrnn; "
        f'printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
def test_bash_completes_verbs_settings_and_recipes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    assert completed(script, "actionrnn", "") == list(VERBS)
    assert completed(script, "actionrnn", "cal") == ["calibrate"]
    assert "--model.cell" in completed(script, "actionrnn", "fit", "--model.c")
    assert completed(script, "actionrnn", "fit", "--config", "own") == ["own"]
    assert "ucf101" in completed(script, "actionrnn", "fit", "--data", "u")


# What follows `actionrnn fit --config ow`; zsh's own functions only print here.
ASK = {
    "fish": ["--no-config", "-c", "source $SCRIPT; complete -C 'actionrnn fit --config ow'"],
    "zsh": [
        "-fc",
        "compadd() { print -l -- ${(M)@:#ow*} }; _files() { : }; CURRENT=4; "
        "words=(actionrnn fit --config ow); source $SCRIPT",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_every_verb_and_setting(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for verb in VERBS:
        assert verb in script
    for setting in settings_of_verb("calibrate"):
        assert (setting if shell == "zsh" else setting.removeprefix("--")) in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its script was read, not run")
    file = tmp_path / "script"
    file.write_text(script)
    done = subprocess.run(
        [shell, *ASK[shell]], capture_output=True, text=True, check=True, env={"SCRIPT": str(file)}
    )
    assert done.stdout.split() == ["own"]
