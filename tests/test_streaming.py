from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from coral_classify import Classifier
from coral_classify.errors import DeviceError, SessionClosed, UsageError
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, TensorSpec


def by_first_pixel(tensor):
    scores = np.zeros((1, 256), np.uint8)
    scores[0, tensor.flat[0]] = 255
    return scores


def grey(value):
    return np.full((224, 224, 3), value, np.uint8)


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("coral-classify-")]


def test_results_come_in_order_and_equal_those_of_classify():
    with Classifier(FakeSession(by_first_pixel), mean=0.0, std=1.0) as classifier:
        pictures = [grey(value) for value in range(40)]
        streamed = [r.predictions[0].class_id for r in classifier.stream(pictures, ahead=5, decoders=3)]
        assert streamed == [classifier.classify(p).predictions[0].class_id for p in pictures]
    assert not threads()


def test_a_broken_picture_is_a_result_and_the_others_go_on():
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        results = list(classifier.stream([grey(1), b"no picture", "/no/such.jpg", grey(2)]))
    assert [r.error is None for r in results] == [True, False, False, True]
    assert "/no/such.jpg" in results[2].error and results[2].image == "/no/such.jpg"


# Pictures in memory count for themselves, too.
@pytest.mark.parametrize("limits, most", [({"ahead": 3}, 4), ({"max_bytes": 2 * 224 * 224 * 3}, 2)])
def test_an_endless_iterable_is_read_only_so_far_and_closing_leaves_no_thread(limits, most, monkeypatch):
    monkeypatch.setattr("coral_classify.streaming._STALL_S", 60.0)
    read = itertools.count()
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        stream = classifier.stream((grey(next(read) % 256) for _ in itertools.count()), **limits)
        next(stream)
        assert next(read) == most
        stream.close()
        assert not threads()


def test_an_error_of_the_iterable_comes_after_the_results_before_it():
    def pictures():
        yield grey(1)
        raise OSError("the camera is gone")

    with Classifier(FakeSession(by_first_pixel)) as classifier:
        stream = classifier.stream(pictures())
        assert next(stream).error is None
        with pytest.raises(OSError, match="camera"):
            next(stream)
    assert not threads()


def test_a_closed_session_ends_the_stream():
    classifier = Classifier(FakeSession(by_first_pixel))
    stream = classifier.stream(grey(0) for _ in itertools.count())
    next(stream)
    classifier.close()
    with pytest.raises(SessionClosed, match="closed"):
        for _ in range(20):     # what was finished before is given out
            next(stream)
    assert not threads()


def test_a_failed_inference_is_a_result_while_the_session_lives():
    def answer(tensor):
        raise DeviceError("it stumbled")

    output = TensorSpec((1, 4), np.dtype(np.uint8), Quantization(1 / 256, 0))
    with Classifier(FakeSession(answer, output=output)) as classifier:
        assert [r.error for r in classifier.stream([grey(0), grey(1)])] == ["it stumbled"] * 2


@pytest.mark.parametrize("wrong", [{"ahead": 0}, {"decoders": 0}, {"max_bytes": 0}, {"top_k": 0}, {"rotate": 5}])
def test_wrong_parameters_are_told_before_the_first_picture(wrong):
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        with pytest.raises(UsageError):
            classifier.stream([], **wrong)
