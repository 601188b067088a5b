"""Programs as they were written in 2020, unchanged: on the CPU, on the simulated Edge TPU, and through its faults.

The proof is a thousand inferences in each, at every fault: CORAL_CLASSIFY_INVOKES=1000 CORAL_CLASSIFY_FAULTS=all.
"""
from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from PIL import Image

PROGRAMS = REPOSITORY / "tests" / "compat" / "programs"
COUNT = int(os.environ.get("CORAL_CLASSIFY_INVOKES", "40"))
ALL = os.environ.get("CORAL_CLASSIFY_FAULTS") == "all"
RANDOM = random.Random()
SHAPES = ["pycoral_loop", "bare_runtime", "old_edgetpu"]
KINDS = ["abort", "hang", "unplug"]
WHENS = [1, 2, 10, "random"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")


@pytest.fixture
def files(pair, tmp_path):
    """Model, picture and labels."""
    picture, labels = tmp_path / "picture.png", tmp_path / "labels.txt"
    # Half of it swings around 0 with each inference, so that the best class changes.
    image = Image.new("RGB", (8, 8), (250, 130, 10))
    image.paste((240, 20, 120), (0, 0, 4, 8))
    image.save(str(picture))
    labels.write_text("0 red\n1 green\n2 blue\n")
    return pair, picture, labels


def command(shape, files, count):
    model, picture, labels = (str(path) for path in files)
    return {
        "pycoral_loop": ["-m", model, "-i", picture, "-l", labels, "-c", str(count)],
        "bare_runtime": [model, picture, str(count)],
        "old_edgetpu": ["--model", model, "--image", picture, "--label", labels, "--count", str(count)],
    }[shape]


def run(shape, files, count, *options, **environment):
    """The lines that a program writes."""
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY), **environment)
    ran = subprocess.run(
        [sys.executable, "-m", "coral_classify.compat", "--ours", *options, str(PROGRAMS / (shape + ".py"))]
        + command(shape, files, count), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        universal_newlines=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines(), ran.stderr


@pytest.mark.parametrize("shape", SHAPES)
def test_a_program_runs_on_the_simulated_device_and_on_the_cpu_alike(shape, files, engine, simulated):
    on_device, log = run(shape, files, 5, CORAL_CLASSIFY_ENGINE=engine)
    on_cpu, _ = run(shape, files, 5, "--cpu", CORAL_CLASSIFY_ENGINE=engine)
    assert on_device == on_cpu and len(on_device) == 5 and "lost" not in log


@pytest.mark.parametrize("shape", SHAPES)
def test_without_an_accelerator_a_program_gets_pycorals_error(shape, files, simulated):
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY), SIM_DEVICES="")
    ran = subprocess.run([sys.executable, "-m", "coral_classify.compat", "--ours", str(PROGRAMS / (shape + ".py"))]
                         + command(shape, files, 1), stderr=subprocess.PIPE, env=environment, universal_newlines=True)
    assert ran.returncode == 1
    assert "Error: Failed to load delegate from libedgetpu.so.1\nno Edge TPU answers to 'auto'" in ran.stderr


def faults():
    if ALL:
        return [(shape, kind, when) for shape in SHAPES for kind in KINDS for when in WHENS]
    # A few of them, others each time, so that all have their turn.
    return [(shape, kind, RANDOM.choice(WHENS)) for shape, kind in zip(SHAPES, RANDOM.sample(KINDS, 3))]


@pytest.mark.parametrize("number", range(len(faults())))
def test_a_program_survives(number, files, any_engine, simulated_library, tmp_path):
    shape, kind, when = faults()[number]
    when = RANDOM.randint(11, COUNT - 5) if when == "random" else when
    expected, _ = run(shape, files, COUNT, "--cpu")
    state = tmp_path / "state"
    state.mkdir()
    lines, log = run(shape, files, COUNT, CORAL_CLASSIFY_LIBEDGETPU=str(simulated_library), SIM_STATE=str(state),
                     SIM_FAULTS="%s:%d" % (kind, when), SIM_BACK="usb@/sys/bus/usb/devices/4-1",
                     CORAL_CLASSIFY_DEADLINE_MS="1000", SIM_PYTHON=sys.executable)
    assert lines == expected and len(set(lines)) > 3, (shape, kind, when)
    assert log.count("usb:0 lost") == 1, log
