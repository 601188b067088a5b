"""The faults of the driver at the 1st, 2nd, 10th and a random inference: none is lost, none is answered twice.

A thousand inferences each with CORAL_CLASSIFY_INVOKES=1000.
"""
from __future__ import annotations

import os
import random

import numpy as np
import pytest

from coral_classify.compat import edgetpu_utils

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")
COUNT = int(os.environ.get("CORAL_CLASSIFY_INVOKES", "60"))
RANDOM = random.Random()


@pytest.fixture
def opened(simulated_library, pair, engine, tmp_path, monkeypatch):
    """Opens an allocated interpreter over a device that fails as it is told to; the twin is there, or not."""
    state = tmp_path / "state"
    state.mkdir()
    for name, value in (("CORAL_CLASSIFY_LIBEDGETPU", simulated_library), ("SIM_STATE", state),
                        ("CORAL_CLASSIFY_ENGINE", engine), ("SIM_BACK", "usb@/sys/bus/usb/devices/4-1"),
                        ("CORAL_CLASSIFY_DEADLINE_MS", "1000")):
        monkeypatch.setenv(name, str(value))
    made = []

    def open_one(faults, twin=True):
        monkeypatch.setenv("SIM_FAULTS", faults)
        if not twin:
            (tmp_path / "colours.tflite").unlink()
        made.append(edgetpu_utils.make_interpreter(str(pair)))
        made[-1].allocate_tensors()
        return made[-1]
    yield open_one
    for interpreter in made:
        interpreter.close()


@pytest.mark.parametrize("when, twin", [(1, True), (2, True), (10, True), ("random", True), ("random", False)])
@pytest.mark.parametrize("kind", ["abort", "segv", "hang", "idle", "unplug"])
def test_every_inference_is_answered_once(kind, when, twin, opened, caplog):
    number = RANDOM.randint(11, COUNT - 5) if when == "random" else when
    interpreter = opened("%s:%d" % (kind, number), twin)
    taken, given = (interpreter.tensor(details[0]["index"])() for details in (
        interpreter.get_input_details(), interpreter.get_output_details()))
    colours = np.random.RandomState(5).randint(0, 256, (COUNT, 3)).astype(np.uint8)
    for position, colour in enumerate(colours):
        taken[:] = colour
        interpreter.invoke()
        assert given.ravel().tolist() == colour.tolist(), (kind, number, position)
        assert (taken == colour).all(), "the input stays"
    lost = [record.getMessage() for record in caplog.records if "usb:0 lost" in record.getMessage()]
    # A death while idle comes 20 ms later, which may be behind the last one.
    assert len(lost) == 1 or kind == "idle" and not lost, (kind, number, lost)


def test_without_a_device_to_come_back_and_without_a_twin_the_program_gets_an_error(opened, monkeypatch):
    monkeypatch.setattr("coral_classify.compat.remote.Limits", lambda **given: _short(given), raising=True)
    monkeypatch.setenv("SIM_BACK", "")
    interpreter = opened("unplug:3", twin=False)
    interpreter.invoke()
    interpreter.invoke()
    with pytest.raises(RuntimeError, match="a CPU twin of the model beside it would have answered"):
        interpreter.invoke()


def _short(given):
    from coral_classify.supervision import Limits

    return Limits(**dict(given, patience_s=1.0))


def test_variables_that_were_lost_are_an_error_that_says_so(opened):
    interpreter = opened("abort:3")
    interpreter._home._stateful = True      # as of a model that keeps something from one inference to the next
    interpreter.invoke()
    interpreter.invoke()
    with pytest.raises(RuntimeError, match=r"the variables of .* were lost .*; call reset_all_variables\(\)"):
        interpreter.invoke()
    interpreter.reset_all_variables()
    interpreter._home._stateful = True
    interpreter.invoke()
    interpreter.invoke()


@pytest.mark.parametrize("told", ["soon", "-1", "0", "inf"])
def test_a_deadline_that_cannot_be_meant(told, opened, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_DEADLINE_MS", told)
    with pytest.raises(ValueError, match="CORAL_CLASSIFY_DEADLINE_MS is '%s'; give a positive number" % told):
        opened("")
