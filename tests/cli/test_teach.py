"""``coral-classify teach`` and ``evaluate``, as a person would use them."""
from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tflite_writer import colours

from coral_classify.cli import main

COLOURS = {"rose": (220, 30, 60), "green leaf": (30, 200, 40), "sky": (40, 90, 230)}


def photographs(folder, first, number):
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for seed in range(first, first + number):
            shade = np.array(colour) + np.random.RandomState(seed).randint(-25, 26, 3)
            Image.new("RGB", (16, 12), tuple(int(v) for v in np.clip(shade, 0, 255))).save(
                str(folder / name / ("%d.png" % seed)))
    return folder


@pytest.fixture
def photos(tmp_path):
    return photographs(tmp_path / "photos", 0, 6)


@pytest.fixture
def base(tmp_path, any_engine):
    path = tmp_path / "net.tflite"
    path.write_bytes(colours())
    return path


@pytest.fixture
def own(photos, base, tmp_path, capsys):
    path = tmp_path / "own.tflite"
    assert main(["teach", str(photos), "--base", str(base), "--into", str(path)]) == 0
    return path


def test_a_folder_of_classes_becomes_a_model(photos, base, tmp_path, capsys):
    path = tmp_path / "own.tflite"
    assert main(["teach", str(photos), "--base", str(base), "--into", str(path)]) == 0
    said = capsys.readouterr().out
    assert "green leaf     6 pictures" in said and "expected on new pictures" in said and "written: %s" % path in said
    assert main([str(photos / "sky" / "1.png"), "--model", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["label"] == "sky"


def test_a_model_is_changed(own, photos, tmp_path, capsys):
    grey = tmp_path / "grey.png"
    Image.new("RGB", (9, 9), (60, 60, 60)).save(str(grey))
    assert main(["teach", "--add", "mouse", str(grey), "--to", str(own)]) == 0
    assert "mouse          1 picture\n" in capsys.readouterr().out
    assert main([str(grey), "--model", str(own), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["label"] == "mouse"
    assert main(["teach", "--forget", "sky", "--to", str(own)]) == 0
    assert "sky" not in capsys.readouterr().out
    assert main(["teach", "--undo", "--to", str(own)]) == 0
    assert "sky" in capsys.readouterr().out
    assert main(["teach", "--none", str(photos / "sky"), "--to", str(own)]) == 0
    assert "none of the classes" in capsys.readouterr().out


def test_what_is_wrong_is_said(own, photos, base, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, code, message in (
            ([str(photos), "--into", str(own)], 2, "is there already"),
            ([str(empty), "--into", str(tmp_path / "x.tflite")], 2, "holds no folders with pictures"),
            ([str(photos)], 2, "name the model"),
            (["--to", str(own)], 2, "say what to change"),
            (["--forget", "moon", "--to", str(own)], 2, "no class is called 'moon'"),
            (["--undo", "--to", str(base)], 1, "was not made by teaching"),
            (["--add", "x", str(tmp_path / "none.png"), "--to", str(own)], 1, "no such file")):
        assert main(["teach"] + arguments) == code, arguments
        assert message in capsys.readouterr().err


def test_evaluation_counts_and_resumes(own, tmp_path, capsys):
    fresh = photographs(tmp_path / "fresh", 50, 5)
    (fresh / "sky" / "zz.jpg").write_bytes(b"broken")
    Image.new("RGB", (9, 9), COLOURS["rose"]).save(str(fresh / "sky" / "wrong.png"))
    answers, page = tmp_path / "answers.jsonl", tmp_path / "report.html"
    command = ["evaluate", str(fresh), "--model", str(own), "--resume", str(answers), "--html", str(page)]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "94 %" in said.out and "zz.jpg" in said.err
    whole = page.read_text(encoding="utf-8")
    assert "wrong.png" in whole and "data:image/jpeg;base64" in whole and "http" not in whole.replace("http-equiv", "")
    # Cut in the middle of a line, it goes on.
    lines = answers.read_bytes()
    answers.write_bytes(lines[:len(lines) // 2])
    assert main(command + ["--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 16 and found["top1"]["of"] == 16 and found["failed"] == 1
    assert found["most_surely_wrong"][0]["label"] == "rose" and found["classes"]["rose"]["value"] == 1
    assert sum(pair["pictures"] for pair in found["confusion"]) == 16
    assert len(answers.read_text().splitlines()) == 18
    answers.write_text("something else\n")
    assert main(command) == 2
