"""The command ``live``: lines, records, commands, kept pictures, and how it ends."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from worker_tools import wait_until

from coral_classify import CoralClassifyError, UsageError
from coral_classify.cli import keeping, main
from coral_classify.cli.interrupts import is_the_end
from coral_classify.cli.reacting import Command

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


@pytest.fixture
def stills(tmp_path):
    folder = tmp_path / "stills"
    folder.mkdir()
    for number, colour in enumerate((RED, RED, GREEN, GREEN, BLUE)):
        Image.new("RGB", (16, 16), colour).save(str(folder / ("%d.png" % number)))
    return str(folder)


def live(*arguments):
    return main(["live", "--every", "0.001", "--device", "cpu"] + [str(argument) for argument in arguments])


def labels(out):
    return [line.split()[1] for line in out.splitlines()]


def test_a_line_whenever_the_answer_changes(model, any_engine, stills, capsys):
    assert live(stills, "--model", model) == 0
    out, err = capsys.readouterr()
    assert labels(out) == ["red", "green", "blue"]
    assert "5 answered" in err and "3 changes, 0 failed; device cpu" in err


def test_a_record_for_each_answer(model, any_engine, stills, capsys, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"of": "yesterday"}\n')
    assert live(stills, "--model", model, "--jsonl", path) == 0
    first, *records = [json.loads(line) for line in path.read_text().splitlines()]
    assert first == {"of": "yesterday"}
    assert [record["changed"] for record in records] == [True, False, True, False, True]
    assert all(record["time"][10] == "T" and record["frame_age_ms"] >= 0 for record in records)
    capsys.readouterr()
    assert live(stills, "--model", model, "--json") == 0
    assert [json.loads(line)["predictions"][0]["label"] for line in capsys.readouterr().out.splitlines()] == [
        "red", "red", "green", "green", "blue"]


def test_a_picture_that_cannot_be_read_is_one_line_and_exit_code_1(model, any_engine, stills, capsys):
    with open(os.path.join(stills, "2.png"), "wb") as file:
        file.write(b"torn")
    assert live(stills, "--model", model) == 1
    out, err = capsys.readouterr()
    assert labels(out) == ["red", "green", "blue"] and err.count("2.png") == 1 and "Traceback" not in err


def test_the_list_names_the_picture_that_is_always_there(capsys):
    assert main(["live", "--list"]) == 0
    assert "test" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, code, message", [
    (["nothing"], 2, "no source of that name"), (["none.mp4"], 1, "no such file"),
    (["test", "--every", "-1"], 2, "--every must be"), (["test", "--in-a-row", "0"], 2, "in_a_row"),
    (["test", "--keep-bytes", "lots"], 2, "no number of bytes"), (["test", "--on-change", "no-such-program"], 2,
                                                                "no such program"),
    (["test", "--every", "1", "--every-frame"], 2, "not both")])
def test_wrong_usage_is_one_line(model, any_engine, arguments, code, message, capsys):
    assert main(["live", "--model", str(model), "--device", "cpu"] + arguments) == code
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_live_takes_one_device(model, any_engine, capsys):
    assert main(["live", "test", "--model", str(model), "--device", "cpu,cpu"]) == 2
    assert "one device" in capsys.readouterr().err


# ---- commands

def test_a_label_is_data_and_never_a_command(tmp_path):
    out = tmp_path / "out.txt"
    script = ("import os, sys; open(sys.argv[1], 'a').write("
              "'%s|%s|%s\\n' % (sys.argv[2], os.environ['CORAL_CLASSIFY_LABEL'], sys.argv[3]))")
    command = Command("%s -c \"%s\" %s {label} '{score} at {time}'" % (sys.executable, script, out))
    evil = "'; touch %s; echo '$(touch %s) {score}" % (tmp_path / "a", tmp_path / "b")
    command.run(evil, 0.5, "noon")
    for process in command._running:
        process.wait()
    command.close()
    assert out.read_text() == "%s|%s|0.5000 at noon\n" % (evil, evil)
    assert sorted(os.listdir(str(tmp_path))) == ["out.txt"]


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_a_shell_gets_no_label_in_its_text():
    with pytest.raises(UsageError, match="CORAL_CLASSIFY_LABEL"):
        Command("sh -c 'echo {label}'")
    with pytest.raises(UsageError, match="CORAL_CLASSIFY_LABEL"):
        Command("env sh -c 'echo {label}'")
    Command("sh -c 'echo \"$CORAL_CLASSIFY_LABEL\"'").close()


def test_commands_that_do_not_end_do_not_pile_up_and_do_not_outlive_it(capfd):
    command = Command("%s -c 'import time; time.sleep(600)'" % sys.executable)
    for _ in range(6):
        command.run("x", 1.0, "")
    running = list(command._running)
    command.close()
    assert len(running) == 4 and all(process.poll() is not None for process in running)
    assert capfd.readouterr().err.count("passed over") == 2


def test_a_command_runs_at_each_change(model, any_engine, stills, tmp_path):
    out = tmp_path / "changes"
    script = "import sys; open(sys.argv[1] + sys.argv[2], 'w')"
    command = "%s -c \"%s\" %s. {label}" % (sys.executable, script, out)
    assert live(stills, "--model", model, "--on-change", command) == 0
    # The last ones may have been ended with it.
    assert {"changes.red"} <= {name for name in os.listdir(str(tmp_path)) if name.startswith("changes.")}


# ---- kept pictures

def picture(seed=0):
    return np.random.RandomState(seed).randint(0, 255, (64, 64, 3)).astype(np.uint8)


def test_changes_and_doubts_are_kept(model, any_engine, stills, tmp_path):
    changed, unsure = tmp_path / "changed", tmp_path / "unsure"
    assert live(stills, "--model", model, "--keep-changed", changed, "--keep-unsure", unsure, "--threshold", "0.9") == 0
    assert len(os.listdir(str(changed))) == 1 and len(os.listdir(str(unsure))) == 1      # nothing reaches 0.9
    assert os.listdir(str(unsure))[0].endswith(" nothing.jpg")
    assert Image.open(str(unsure / os.listdir(str(unsure))[0])).size == (16, 16)


def test_the_oldest_go_first_and_foreign_files_stay(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x" * 100000)
    kept = keeping.Kept(str(tmp_path), 20000)
    for second in range(20):
        kept.put(picture(second), "cat", 1000000000.0 + second)
    ours = sorted(name for name in os.listdir(str(tmp_path)) if name != "holiday.jpg")
    assert (tmp_path / "holiday.jpg").exists() and 0 < len(ours) < 20
    assert sum(os.path.getsize(str(tmp_path / name)) for name in ours) <= 20000
    assert kept.number == 20 and ours[-1].endswith("cat.jpg")
    again = keeping.Kept(str(tmp_path), 20000)      # another run goes on with what is there
    again.put(picture(99), "dog", 1000000100.0)
    ours = [name for name in os.listdir(str(tmp_path)) if name != "holiday.jpg"]
    assert sum(os.path.getsize(str(tmp_path / name)) for name in ours) <= 20000


def test_a_full_disk_is_never_made(tmp_path, monkeypatch):
    usage = shutil.disk_usage(str(tmp_path))
    kept = keeping.Kept(str(tmp_path), 1 << 20)
    kept.put(picture(1), "cat", 1000000000.0)
    monkeypatch.setattr(keeping.shutil, "disk_usage", lambda folder: usage._replace(free=1 << 20))
    with pytest.raises(CoralClassifyError, match="the disk has less than 64 MiB left"):
        kept.put(picture(2), "cat", 1000000001.0)
    assert os.listdir(str(tmp_path)) == []


def test_a_picture_larger_than_the_budget_is_said(tmp_path):
    with pytest.raises(CoralClassifyError, match="--keep-bytes"):
        keeping.Kept(str(tmp_path), 10).put(picture(), "cat", 1e9)
    assert os.listdir(str(tmp_path)) == []


def test_a_label_is_no_path(tmp_path):
    keeping.Kept(str(tmp_path), 1 << 20).put(picture(), "../../etc/x\n", 1e9)
    (name,) = os.listdir(str(tmp_path))
    assert name.endswith(" _.._etc_x_.jpg") or "/" not in name


@pytest.mark.parametrize("text", ["", "x", "1T", "-1", "1.5G"])
def test_a_budget_that_cannot_be_meant(text):
    with pytest.raises(ValueError):
        keeping.bytes_of(text)


# ---- the end

@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT for another process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [[], ["--every", "0.2"], ["--every-frame"]])
def test_ctrl_c_and_a_stopped_service_end_it_at_once(model, any_engine, tmp_path, number, options):
    out = tmp_path / "o.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "coral_classify", "live", "test", "--model", str(model), "--device", "cpu", "--jsonl",
         str(out)] + options, env=dict(os.environ, PYTHONPATH=str(REPOSITORY)), stderr=subprocess.PIPE,
        stdout=subprocess.PIPE)
    try:
        assert wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 2)
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        took = time.monotonic() - began
    finally:
        process.kill()
    assert process.returncode == 0 and b"Traceback" not in err and b" answered (" in err, err.decode()
    assert took < 20, "2 s on a machine that does nothing else"
    assert all(json.loads(line)["image"].startswith("test#") for line in out.read_text().splitlines())


@pytest.mark.parametrize("exc, ends", [(KeyboardInterrupt(), True), (RuntimeError("a lock"), False)])
@pytest.mark.parametrize("behind", [False, True])
def test_whatever_ctrl_c_became_is_the_end(exc, ends, behind):
    def work():
        try:
            if behind:
                raise KeyboardInterrupt
        finally:
            raise exc
    if ends or behind:
        with is_the_end():
            work()
    else:
        with pytest.raises(RuntimeError), is_the_end():
            work()
