"""Programs written for PyCoral, tflite_runtime and edgetpu, several at once on one simulated stick: each unchanged."""
from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from sharing_tools import machine, models, running_owner
from worker_tools import wait_until

from coral_classify.compat import edgetpu_utils
from coral_classify.compat.interpreter import Interpreter, load_delegate
from coral_classify.compat.pipeline import PipelinedModelRunner
from coral_classify.supervision import ask_status

PROGRAMS = REPOSITORY / "tests" / "compat" / "programs"
COUNT = 60


@pytest.fixture
def board(any_engine, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_ENGINE", any_engine)
    with machine(monkeypatch, "usb", invoke_ms=2.0) as driver:
        yield driver


@pytest.fixture
def owner(board):
    with running_owner() as process:
        yield process


def command(shape, pair, folder):
    picture, labels = folder / "picture.png", folder / "labels.txt"
    image = Image.new("RGB", (8, 8), (250, 130, 10))
    image.paste((240, 20, 120), (0, 0, 4, 8))
    image.save(str(picture))
    labels.write_text("0 red\n1 green\n2 blue\n")
    model, picture, labels = str(pair), str(picture), str(labels)
    return {
        "pycoral_loop": ["-m", model, "-i", picture, "-l", labels, "-c", str(COUNT)],
        "bare_runtime": [model, picture, str(COUNT)],
        "old_edgetpu": ["--model", model, "--image", picture, "--label", labels, "--count", str(COUNT)],
    }[shape]


def start(shape, arguments, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "coral_classify.compat", "--ours", *options, str(PROGRAMS / (shape + ".py"))]
        + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY), CORAL_CLASSIFY_DEADLINE_MS="120000"))


def lines_of(process):
    out, log = process.communicate()
    assert process.returncode == 0, log
    return out.splitlines(), log


@pytest.mark.parametrize("shapes", [("pycoral_loop", "bare_runtime"), ("old_edgetpu", "old_edgetpu")])
def test_two_old_programs_run_at_once_on_one_stick(shapes, owner, board, pair, tmp_path):
    commands = [command(shape, pair, tmp_path) for shape in shapes]
    alone = [lines_of(start(shape, arguments, "--cpu"))[0] for shape, arguments in zip(shapes, commands)]
    running = [start(shape, arguments) for shape, arguments in zip(shapes, commands)]
    for process, expected in zip(running, alone):
        lines, log = lines_of(process)
        assert lines == expected and len(set(lines)) > 3 and "lost" not in log
    assert board.inferences >= 2 * COUNT and len(models()) == 1, "all on the stick, with one model for both"
    assert wait_until(lambda: ask_status()["clients"] == [])


def test_old_programs_survive_a_driver_that_aborts_under_one_of_them(board, pair, tmp_path, monkeypatch):
    arguments = command("pycoral_loop", pair, tmp_path)
    expected, _ = lines_of(start("pycoral_loop", arguments, "--cpu"))
    monkeypatch.setenv("SIM_FAULTS", "abort:50")
    with running_owner():
        running = [start("pycoral_loop", arguments) for _ in range(2)]
        assert [lines_of(process)[0] for process in running] == [expected, expected]
        told = ask_status()
        assert told["faults_survived"] == 1 and told["not_run"] == {}, "a passing fault is nobody's"


def colour(interpreter, value):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.full((1, 8, 8, 3), value, np.uint8))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel().tolist()


def test_an_interpreter_of_bytes_and_one_of_a_classifier_go_through_it(owner, pair):
    interpreter = edgetpu_utils.make_interpreter(pair.read_bytes())
    interpreter.allocate_tensors()
    assert colour(interpreter, 9) == [9, 9, 9] and interpreter.device == "usb:0"
    assert [one["name"] for one in interpreter.get_tensor_details()] == ["image0", "scores"]
    assert edgetpu_utils.supports_dmabuf(interpreter._native_handle()) is False
    interpreter.close()


def test_what_others_share_cannot_be_read_and_says_so(owner, board, pair):
    interpreter = edgetpu_utils.make_interpreter(str(pair))
    interpreter.allocate_tensors()
    colour(interpreter, 9)
    with pytest.raises(ValueError, match="a tensor inside a model' cannot be had through an owner"):
        interpreter.get_tensor(77)
    assert colour(interpreter, 10) == [10, 10, 10], "and goes on"
    interpreter.resize_tensor_input(0, (1, 9, 9, 3))
    board.pull()
    with pytest.raises(ValueError, match="in the shapes of their files; .* needs an accelerator of its own"):
        interpreter.allocate_tensors()
    interpreter.close()


def test_a_program_without_a_driver_finds_the_device_of_the_owner(owner, pair, monkeypatch):
    there, version = edgetpu_utils.list_edge_tpus(), edgetpu_utils.get_runtime_version()
    monkeypatch.setattr("coral_classify.compat.edgetpu_utils.edgetpu.driver_devices", _no_library)
    monkeypatch.setattr("coral_classify.compat.edgetpu_utils.edgetpu.version", _no_library)
    assert edgetpu_utils.list_edge_tpus() == there == [{"type": "usb", "path": "/sys/bus/usb/devices/2-0"}]
    assert edgetpu_utils.get_runtime_version() == version
    interpreter = Interpreter(str(pair), experimental_delegates=[load_delegate("libedgetpu.so.1")])
    interpreter.allocate_tensors()
    assert colour(interpreter, 9) == [9, 9, 9] and interpreter.device == "usb:0"
    interpreter.close()


def _no_library():
    from coral_classify.errors import DeviceError

    raise DeviceError("no library", cause="no-library")


def test_after_the_owner_a_program_opens_the_stick_itself(owner, board, pair):
    owner.kill()
    owner.wait()        # its socket lies there still
    interpreter = edgetpu_utils.make_interpreter(str(pair))
    interpreter.allocate_tensors()
    assert colour(interpreter, 9) == [9, 9, 9] and interpreter.device == "usb:0"
    interpreter.close()


def test_a_pipeline_runs_its_segments_on_the_owners_sticks(board, pair):
    board.attach("usb,usb")
    with running_owner():
        segments = [edgetpu_utils.make_interpreter(str(pair), device=name) for name in (":0", ":1")]
        for segment in segments:
            segment.allocate_tensors()
        assert sorted(model["users"] for model in models()) == [1, 1]
        runner = PipelinedModelRunner(segments[:1])
        name = segments[0].get_input_details()[0]["name"]
        for value in (3, 4):
            runner.push({name: np.full((1, 8, 8, 3), value, np.uint8)})
        assert [runner.pop()["scores"].ravel().tolist() for _ in range(2)] == [[3] * 3, [4] * 3]
        assert colour(segments[1], 5) == [5, 5, 5] and segments[1].device == "usb:1"
        runner.push({})
        for segment in segments:
            segment.close()
