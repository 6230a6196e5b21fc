"""doctor says what is here, what is missing and what brings it; nothing that is not so."""

import json
from pathlib import Path

import numpy as np
import pytest

from actionrnn.cli import VERBS, main
from actionrnn.commands import doctor


def test_the_report_is_plain_data_and_names_every_part(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json", "--folder", str(tmp_path)]) == 0
    said, chatter = capfd.readouterr()
    found = json.loads(said)
    assert "Svt" not in chatter
    assert found["broken"] == []
    assert found["packages"]["torch"]
    assert len(found["decoders"]) == len(doctor.CODECS)
    assert {each["pyav"] for each in found["decoders"].values()} == {"ok"}
    assert found["folders"]["runs"]["write_mib_per_second"] > 0
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_a_decoder_with_wrong_frames_is_not_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen:
        num_frames = 12

        def read(self, indices: range) -> np.ndarray:
            return np.zeros((len(indices), 4, 4, 3), np.uint8)

        def close(self) -> None:
            pass

    monkeypatch.setattr(doctor, "open_video", lambda path, reader: Frozen())
    assert "wrong frames" in doctor._decoded(tmp_path / "a.mp4", "pyav")


def test_a_decoder_that_cannot_be_loaded_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads = {"pyav": "ok", "torchcodec": "no FFmpeg", "decord": "ok"}
    table = {"H.264 in MP4": reads, "AV1 in MP4": {**reads, "decord": "cannot open it"}}
    monkeypatch.setattr(doctor, "decoders_by_codec", lambda: table)
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert told.count("no FFmpeg") == 1
    assert "pyav: ok; decord: ok" in told
    assert "pyav: ok; decord: cannot open it" in told


def test_what_is_missing_comes_with_the_verb_and_the_command() -> None:
    found = doctor.missing(lambda module: None if module == "optuna" else module)
    (sweep,) = [each for each in found if each["packages"] == "optuna"]
    assert sweep["verbs"] == "sweep"
    assert sweep["command"].endswith("-m pip install 'actionrnn[sweep]'")


def test_every_need_is_of_an_extra_that_there_is() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = set(project["project"]["optional-dependencies"])
    assert {need.extra for need in doctor.NEEDS} | {"torchcodec", "test"} == extras
    verbs = {need.verbs.replace(",", " ").replace(";", " ").split()[0] for need in doctor.NEEDS}
    assert verbs <= {*VERBS, "backbones", "notebooks/"}


def test_a_folder_that_cannot_be_written_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(doctor, "decoders_by_codec", lambda: {"H.264 in MP4": {"pyav": "ok"}})
    assert main(["doctor", "--folder", str(tmp_path)]) == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().out
