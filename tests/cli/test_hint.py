"""The line about the package's own model: once on a machine, and not beside a failure."""
from __future__ import annotations

import os
import sys

import pytest

from coral_classify.cli import main
from coral_classify.cli.hint import show_once


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "home"
    monkeypatch.setenv("CORAL_CLASSIFY_HOME", str(folder))
    return folder


def test_it_is_one_line_on_the_first_call_only(home, capsys):
    show_once()
    first = capsys.readouterr()
    show_once()
    assert first.err.count("\n") == 1 and "coral-classify models pull efficientnet-edgetpu-s" in first.err
    assert first.out == "" and capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="made with a file in the way of a folder")
def test_it_is_left_out_where_nobody_can_write_that_it_was_shown(home, capsys):
    home.parent.write_bytes(b"")
    show_once()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments, shown", [((), True), (("--json",), False), (("missing.jpg",), False)])
def test_it_comes_with_the_own_model_and_only_if_all_went_well(home, any_engine, capsys, green, arguments, shown):
    main([str(green)] + list(arguments))
    assert ("models pull" in capsys.readouterr().err) is shown
    assert os.path.exists(str(home / "hint-shown")) is shown


def test_it_does_not_come_with_a_model_of_the_user_s(home, any_engine, capsys, green, model):
    assert main([str(green), "--model", str(model)]) == 0
    assert "models pull" not in capsys.readouterr().err
