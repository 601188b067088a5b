"""Passports in the user's folder may be anybody's: an odd one costs one line, and the rest goes on."""
from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_writer import colours

from coral_classify import Classifier
from coral_classify.cli import main
from coral_classify.locations import home
from coral_classify.modelfiles import ownpassports, passports
from coral_classify.zoo import catalogue as zoo

BLOB = "0" * 40
GOOD = {"name": "x", "title": "X", "kind": "classification", "files": {"cpu": {"name": "x.tflite", "git_blob": BLOB}},
        "labels": None, "label_offset": 0, "classes": 3, "mean": None, "std": None}


def put(content, name="x"):
    path = home() / "passports" / (name + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode("utf-8"))
    return path


ODD = [
    b"", b"{", b"[]", b"3", b"null", b"[" * 100000, b'{"a":' * 100000, b"\xff\xfe", b"1" * 6000, b" " * (2 << 20),
    dict(GOOD, files=[]), dict(GOOD, files={}), dict(GOOD, files={"cpu": {}}), dict(GOOD, files={"cpu": "x"}),
    dict(GOOD, files={"cpu": {"name": "../../x", "git_blob": BLOB}}), dict(GOOD, files={"gpu": GOOD["files"]["cpu"]}),
    dict(GOOD, files={"cpu": {"name": "x.tflite", "git_blob": 5}}), dict(GOOD, name="../../x"), dict(GOOD, name=""),
    dict(GOOD, name=None), dict(GOOD, name="y"), dict(GOOD, name=["x"]), dict(GOOD, labels="../../x"),
    dict(GOOD, labels=7), dict(GOOD, label_offset="1"), dict(GOOD, label_offset=-1), dict(GOOD, classes=1.5),
    dict(GOOD, mean=1.0), dict(GOOD, mean=float("nan"), std=1.0), dict(GOOD, mean=1, std=0), dict(GOOD, kind="x"),
    dict(GOOD, kind=[]), dict(GOOD, title=None), dict(GOOD, latency_ms=3), dict(GOOD, accuracy={"top1": "x"}),
    dict(GOOD, label_pin=[]), {key: value for key, value in GOOD.items() if key != "name"},
    {key: value for key, value in GOOD.items() if key != "files"}, dict(GOOD, mean=10 ** 400, std=1)]


@pytest.mark.parametrize("content", ODD, ids=lambda content: str(content)[:60])
def test_an_odd_passport_costs_one_line_and_the_rest_goes_on(tmp_path, any_engine, green, caplog, capsys, content):
    (tmp_path / "mine.tflite").write_bytes(colours())
    zoo.add(tmp_path / "mine.tflite")
    ownpassports._told.clear()
    put(content)
    for command in (["models"], ["models", "verify", "mine"], ["models", "info", "mine"],
                    [str(green), "--model", "mine", "--device", "cpu"]):
        assert main(command) == 0, command
    assert "mine" in zoo.names() and "x" not in zoo.names()
    lines = [record.getMessage() for record in caplog.records if "passport " in record.getMessage()]
    assert len(lines) == 1 and "x.json" in lines[0] and "it is left out" in lines[0] and "\n" not in lines[0]
    assert main(["models", "remove", "x"]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_or_a_device_in_place_of_a_passport_is_not_waited_for(caplog):
    path = home() / "passports" / "pipe.json"
    path.parent.mkdir(parents=True)
    os.mkfifo(str(path))
    (path.parent / "zero.json").symlink_to("/dev/zero")
    (path.parent / "folder.json").mkdir()
    assert passports.own() == ()


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "..", ".", "a/b", "a\0b", "a\n", ""])
def test_nothing_outside_the_home_is_deleted_whatever_a_passport_says(tmp_path, name, capsys):
    victims = [tmp_path / "x", tmp_path / "x.json", home().parent / "x.tflite"]
    for victim in victims:
        victim.write_bytes(b"precious")
    put(dict(GOOD, name=name))
    put(dict(GOOD, name="y", files={"cpu": {"name": name, "git_blob": BLOB}}), "y")
    put(dict(GOOD, name="z", labels=name, label_pin={"git_blob": BLOB}), "z")
    for said in (name, "y", "z", "x"):
        main(["models", "remove", said])
    assert all(victim.read_bytes() == b"precious" for victim in victims)
    with pytest.raises(ValueError, match="no name"):
        ownpassports.own_file(name)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                     lambda inner: st.lists(inner, max_size=3)
                     | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)


@settings(max_examples=150)
@given(field=st.sampled_from(sorted(set(passports.Passport._fields))), value=_JSON)
def test_whatever_stands_in_a_field_the_passports_can_be_listed(tmp_path_factory, field, value):
    os.environ["CORAL_CLASSIFY_HOME"] = str(tmp_path_factory.mktemp("home"))   # put back by own_home
    put(dict(GOOD, **{field: value}))
    for passport in passports.own():
        for wanted in zoo.files_of(passport):
            assert wanted.target.parent.parent == home()
        assert zoo.installed(passport) is None and zoo.damaged(passport.name) == []
    assert main(["models"]) == 0
    assert passports.by_blob("1" * 40) is None


def test_what_was_added_is_read_again(tmp_path, any_engine, monkeypatch):
    (tmp_path / "mine.tflite").write_bytes(colours())
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    added = zoo.add(tmp_path / "mine.tflite", labels=tmp_path / "names.txt", mean=1, std=2)
    assert passports.own() == (added,) and added.label_pin
    # Its own labels, not those that are called so in the current folder.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("x\ny\nz\n")
    with Classifier("mine", device="cpu") as classifier:
        assert classifier.labels == ("a", "b", "c")
