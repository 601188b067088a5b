"""An interpreter that somebody else opened, as the model of a Classifier."""
from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from tflite_writer import colours, several

from coral_classify import Classifier, EngineError, ModelError
from coral_classify.compat.edgetpu_utils import make_interpreter
from coral_classify.compat.interpreter import Interpreter
from coral_classify.engine import AdoptedSession, is_interpreter, load_engine

RED = Image.new("RGB", (8, 8), (200, 20, 10))


def test_a_runtimes_interpreter_is_a_model(model, engine):
    interpreter = load_engine(engine).interpreter(model_path=str(model))
    with Classifier(interpreter, labels=["red", "green", "blue"]) as classifier, Classifier(model) as own:
        given, ours = classifier.classify(RED), own.classify(RED)
    assert given.predictions == ours.predictions and given.predictions[0].label == "red"
    assert given.device_reason == "the session was given"
    interpreter.invoke()    # still its owner's


def test_an_interpreter_of_compat_tells_its_device(model, any_engine):
    interpreter = Interpreter(model_path=str(model))
    with Classifier(interpreter) as classifier:
        result = classifier.classify(RED)
        assert result.device == "cpu" and result.predictions[0].class_id == 0
        assert [r.predictions[0].class_id for r in classifier.stream([RED, np.asarray(RED)])] == [0, 0]


@pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")
def test_and_so_does_one_behind_the_driver(simulated, pair, any_engine):
    interpreter = make_interpreter(str(pair))
    with Classifier(interpreter, labels=["red", "green", "blue"]) as classifier:
        assert classifier.classify(RED).device == "usb:0" and classifier.classify(RED).predictions[0].label == "red"
    interpreter.close()


def test_only_interpreters_are_taken_for_interpreters(model, any_engine):
    assert is_interpreter(Interpreter(model_path=str(model)))
    assert not any(is_interpreter(thing) for thing in (None, "model.tflite", model, object(), Classifier(model)))


def test_other_networks_are_refused(any_engine):
    with pytest.raises(ModelError, match="it has 3 inputs and 3 outputs|has 3 inputs and 3 outputs"):
        Classifier(Interpreter(model_content=several()))
    with pytest.raises(ModelError, match=r"takes \(1, 8, 8, 1\), \(1, height, width, 3\) is needed"):
        Classifier(Interpreter(model_content=colours(channels=1)))


def test_an_interpreter_that_fails_is_an_error_of_the_engine(model, any_engine, monkeypatch):
    interpreter = Interpreter(model_path=str(model))
    session = AdoptedSession(interpreter)

    def failing():
        raise RuntimeError("out of order")
    monkeypatch.setattr(interpreter, "invoke", failing)
    with pytest.raises(EngineError, match="the interpreter that was given failed during an inference: out of order"):
        session.run(np.zeros((1, 8, 8, 3), np.uint8))
