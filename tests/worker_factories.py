"""Sessions for the worker under test: they crash, hang and stop answering when their description says so.

A description: ``device``; ``count`` (a file that counts what happened over all lives of the worker);
``faults``: a mapping from "open", "idle 1" or the number of a run over all lives to a way of failing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

import numpy as np

from coral_classify import errors
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, Session, TensorSpec


def number(tensor):
    """The number that a test wrote into a picture."""
    return int(tensor[0, 0, 0, 0]) + 256 * int(tensor[0, 0, 0, 1])


def picture(value, size=8):
    tensor = np.zeros((1, size, size, 3), np.uint8)
    tensor[0, 0, 0, :2] = value % 256, value // 256
    return tensor


def answer_to(value, salt=0):
    return np.array([[value % 256, value // 256, salt, 7]], np.uint8)


def fail(way):
    """One of the ways in which a driver takes its process along, or leaves it in the lurch."""
    if way == "abort":
        sys.stderr.write(
            "F driver/usb/usb_driver.cc:857] transfer on tag 0 failed. Abort. Deadline exceeded\n"
        )
        sys.stderr.flush()
        os.abort()
    if way == "segfault":
        ctypes.string_at(0)
    if way == "exit":
        os._exit(7)
    if way == "hang":
        time.sleep(10000)
    if way == "slow":
        time.sleep(1.5)
        return
    if way == "native hang":  # with the GIL held: no Python thread of the worker runs any more
        ctypes.PyDLL(None).sleep(10000)
    if way == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(10000)
    if way == "engine error":
        raise errors.EngineError("invoke failed")
    if way == "value error":
        raise ValueError("bad value")
    if way == "busy":
        raise errors.DeviceError("usb:0 is busy: held by process 4711", cause="busy", evidence="claimed")
    if way == "model error":
        raise errors.ModelError("broken.tflite is no model")
    raise AssertionError("unknown way %r" % way)


def count(path, kind):
    """How often *kind* has happened now, over all processes; a line in a file survives any death."""
    if path is None:
        return 0
    with open(path, "a") as file:
        file.write(kind + "\n")
    with open(path) as file:
        return sum(1 for line in file if line.strip() == kind)


class Interpreted(Session):
    """A real interpreter on the CPU under a device's name; it fails where the description says so."""

    def __init__(self, description):
        if description["engine"] == "tflite-runtime":
            from tflite_runtime.interpreter import Interpreter
        else:
            from ai_edge_litert.interpreter import Interpreter
        self._interpreter = Interpreter(model_path=description["model"], num_threads=description["threads"])
        self._interpreter.allocate_tensors()
        self._description = description
        (input,) = self._interpreter.get_input_details()
        (output,) = self._interpreter.get_output_details()
        self._input_index, self._output_index = input["index"], output["index"]
        super().__init__(_spec(input), _spec(output), device=description["device"])

    def _run(self, tensor):
        faults = self._description.get("faults")
        if faults:
            way = faults.get(str(count(self._description["count"], "run")))
            if way:
                fail(way)
        self._interpreter.set_tensor(self._input_index, tensor)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output_index)

    def _close(self):
        del self._interpreter


def _spec(details):
    scale, zero_point = details["quantization"]
    return TensorSpec(
        tuple(int(n) for n in details["shape"]),
        np.dtype(details["dtype"]),
        Quantization(scale, int(zero_point)),
    )


def interpreted(description):
    return Interpreted(description)


def numbered(description):
    # type: (Dict[str, Any]) -> FakeSession
    """Answers each picture with the number written in it; fails where the description says so."""
    faults = description.get("faults", {})
    path = description.get("count")
    size = description.get("size", 8)
    salt = description.get("salt", 0)
    opening = count(path, "open")
    while "gate" in description and not os.path.exists(description["gate"]):
        time.sleep(0.005)
    if "open %d" % opening in faults:
        fail(faults["open %d" % opening])
    if "open" in faults and faults["open"][0] <= opening <= faults["open"][1]:
        fail(faults["open"][2])

    def answer(tensor):
        if "says" in description:
            print(description["says"], flush=True)
            os.write(2, description["says"].encode())
        if faults:
            run = str(count(path, "run"))
            if run in faults:
                fail(faults[run])
            if "always" in faults:
                fail(faults["always"])
        if description.get("sleep"):
            time.sleep(description["sleep"])
        return answer_to(number(tensor), salt)

    idle = faults.get("idle %d" % opening)
    if idle:
        threading.Timer(0.2, fail, [idle]).start()
    return FakeSession(
        answer,
        input=TensorSpec((1, size, size, 3), np.dtype(np.uint8), Quantization(1 / 128, 128)),
        output=TensorSpec((1, 4), np.dtype(np.uint8), Quantization(1 / 256, 0)),
        device=description.get("device", "usb:0"),
    )
