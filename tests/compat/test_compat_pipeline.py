"""A model in segments, as pycoral runs it."""
from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from tflite_writer import colours

from coral_classify.compat.edgetpu_utils import make_interpreter
from coral_classify.compat.interpreter import Interpreter
from coral_classify.compat.pipeline import PipelinedModelRunner


class Segment(Interpreter):
    """An interpreter whose tensors have other names: what the small models of the tests call alike is to be parted."""

    def __init__(self, taken, given, **arguments):
        super().__init__(**arguments)
        self._names = {0: taken, 1: given}

    def get_input_details(self):
        return [dict(one, name=self._names[one["index"]]) for one in super().get_input_details()]

    def get_output_details(self):
        return [dict(one, name=self._names[one["index"]]) for one in super().get_output_details()]


def segments(allocate=True):
    """Two segments: means of colours of 8 x 8, and the same of 1 x 1, which changes nothing."""
    made = [Segment("input", "middle", model_content=colours()),
            Segment("middle", "scores", model_content=colours(size=(1, 1)))]
    if allocate:
        for one in made:
            one.allocate_tensors()
    return made


@pytest.fixture
def runner(any_engine):
    return PipelinedModelRunner(segments())


def picture(value):
    return {"input": np.full((1, 8, 8, 3), value, np.uint8)}


def value_of(answer):
    assert list(answer) == ["scores"] and answer["scores"].shape == (1, 1, 1, 3)
    return int(answer["scores"].ravel()[0])


def test_answers_come_in_the_order_of_the_questions(runner):
    for value in range(20):
        runner.push(picture(value))
    assert [value_of(runner.pop()) for _ in range(20)] == list(range(20))


def test_after_the_end_nothing_is_taken_and_none_comes(runner):
    runner.push(picture(3))
    runner.push({})
    assert value_of(runner.pop()) == 3
    with pytest.raises(RuntimeError, match="Pipeline was turned off before."):
        runner.push(picture(1))
    assert runner.pop() is None and runner.pop() is None


def test_inputs_are_checked(runner):
    with pytest.raises(ValueError, match="Input should be a list of numpy array of type"):
        runner.push({"input": np.random.random((1, 8, 8, 3))})
    with pytest.raises(ValueError, match="Expected input of length 1, but got 2"):
        runner.push({"input": picture(1)["input"], "more": picture(1)["input"]})


def test_segments_in_the_wrong_order_are_refused(any_engine):
    with pytest.raises(ValueError, match="Interpreter 1 can not get its input tensors"):
        PipelinedModelRunner(segments()[::-1])
    with pytest.raises(ValueError, match="At least one interpreter expected"):
        PipelinedModelRunner([])


def test_an_error_of_a_segment_reaches_the_program(any_engine):
    runner = PipelinedModelRunner(segments(allocate=False))
    runner.push(picture(1))
    for asked in (runner.pop, lambda: runner.push(picture(2)), runner.pop):
        with pytest.raises(RuntimeError, match="Segment 0 runner error: Invoke called on model that is not ready."):
            asked()


def test_full_queues_hold_a_program_back(runner):
    runner.set_input_queue_size(1)
    runner.set_output_queue_size(1)
    buffered = 2 * len(runner.interpreters()) + 1
    for value in range(buffered):
        runner.push(picture(value))
    pushed = threading.Event()

    def push_more():
        runner.push(picture(99))
        pushed.set()
        runner.push({})

    thread = threading.Thread(target=push_more)
    thread.start()
    assert not pushed.wait(0.3)
    answers = []
    while True:
        answer = runner.pop()
        if answer is None:
            break
        answers.append(value_of(answer))
    thread.join()
    assert answers == list(range(buffered)) + [99]


def test_a_forgotten_runner_leaves_no_thread(runner):
    runner.push(picture(1))
    names = {"coral-segment-0", "coral-segment-1"}
    threads = [thread for thread in threading.enumerate() if thread.name in names]
    runner.__del__()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")
def test_two_interpreters_share_one_device(simulated, pair, any_engine):
    one, other = make_interpreter(str(pair)), make_interpreter(str(pair), device="usb:0")
    for interpreter in (one, other):
        interpreter.allocate_tensors()
    answers = {}

    def work(name, interpreter, value):
        for _ in range(50):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.full((1, 8, 8, 3), value, np.uint8))
            interpreter.invoke()
            answers.setdefault(name, set()).add(
                int(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()[0]))

    threads = [threading.Thread(target=work, args=arguments) for arguments in (("one", one, 3), ("other", other, 8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"one": {3}, "other": {8}}
    one.close()
    other.close()
