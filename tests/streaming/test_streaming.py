from __future__ import annotations

import gc
import io
import itertools
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image
from worker_tools import wait_until

from coral_classify import Classifier
from coral_classify.errors import DeviceError, ImageError, SessionClosed, UsageError
from coral_classify.pictures import preprocess
from coral_classify.streaming import Asked
from coral_classify.streaming import streams as streaming
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
    assert wait_until(lambda: not threads())


def test_a_broken_picture_is_a_result_and_the_others_go_on():
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        results = list(classifier.stream([grey(1), b"no picture", "/no/such.jpg", grey(2)]))
    assert [r.error is None for r in results] == [True, False, False, True]
    assert "/no/such.jpg" in results[2].error and results[2].image == "/no/such.jpg"


# Pictures in memory count for themselves, too.
@pytest.mark.parametrize("limits, most", [({"ahead": 3}, 4), ({"max_bytes": 2 * 224 * 224 * 3}, 2)])
def test_an_endless_iterable_is_read_only_so_far_and_closing_leaves_no_thread(limits, most, monkeypatch):
    monkeypatch.setattr("coral_classify.streaming.streams._STALL_S", 60.0)
    monkeypatch.setattr("coral_classify.streaming.streams._QUICK_S", 60.0)      # however slowly this machine reads
    read = itertools.count()
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        stream = classifier.stream((grey(next(read) % 256) for _ in itertools.count()), **limits)
        next(stream)
        assert next(read) == most
        stream.close()
        assert wait_until(lambda: not threads())


def test_an_error_of_the_iterable_comes_after_the_results_before_it():
    def pictures():
        yield grey(1)
        raise OSError("the camera is gone")

    with Classifier(FakeSession(by_first_pixel)) as classifier:
        stream = classifier.stream(pictures())
        assert next(stream).error is None
        with pytest.raises(OSError, match="camera"):
            next(stream)
    assert wait_until(lambda: not threads())


def test_a_closed_session_ends_the_stream():
    classifier = Classifier(FakeSession(by_first_pixel))
    stream = classifier.stream(grey(0) for _ in itertools.count())
    next(stream)
    classifier.close()
    with pytest.raises(SessionClosed, match="closed"):
        for _ in range(1000):   # what was finished before is given out: the window, or more if its first took long
            next(stream)
    assert wait_until(lambda: not threads())


def test_a_failed_inference_is_a_result_while_the_session_lives():
    def answer(tensor):
        raise DeviceError("it stumbled")

    output = TensorSpec((1, 4), np.dtype(np.uint8), Quantization(1 / 256, 0))
    with Classifier(FakeSession(answer, output=output)) as classifier:
        assert [r.error for r in classifier.stream([grey(0), grey(1)])] == ["it stumbled"] * 2


class Lost(FakeSession):
    """A device that goes with its first inference, and does not come back."""

    trouble = None

    def _run(self, tensor):
        self.trouble = "it is gone"
        raise DeviceError(self.trouble)


def test_pictures_wait_for_a_slow_twin_as_they_would_for_a_device(monkeypatch):
    monkeypatch.setattr(streaming, "_PATIENCE_S", 0.2)

    def slowly(tensor):
        time.sleep(0.15)    # longer than the stream waits before it looks around
        return by_first_pixel(tensor)

    lost = [Classifier(Lost(device="usb:%d" % i)) for i in range(2)]
    with Classifier(FakeSession(slowly)) as twin:
        results = streaming.stream(lost, [grey(i) for i in range(10)], lost[0].wanted(), ahead=8, decoders=None,
                                   max_bytes=1 << 30, stand_in=lambda: twin)
        assert [(r.error, r.predictions and r.predictions[0].class_id) for r in results] == [
            (None, i) for i in range(10)]


@pytest.mark.parametrize("wrong", [{"ahead": 0}, {"decoders": 0}, {"max_bytes": 0}, {"top_k": 0}, {"rotate": 5}])
def test_wrong_parameters_are_told_before_the_first_picture(wrong):
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        with pytest.raises(UsageError):
            classifier.stream([], **wrong)


class Gate:
    """A picture that lies in a pipe, and comes when it is let through."""

    name = "gate.png"

    def __init__(self, value):
        self.opened = threading.Event()
        self.touched = threading.Event()
        content = io.BytesIO()
        Image.new("RGB", (16, 16), (value,) * 3).save(content, "PNG")
        self.content = content.getvalue()

    def read(self, size=-1):
        self.touched.set()
        assert self.opened.wait(30)
        content, self.content = self.content, b""
        return content

    def seekable(self):
        return False


def test_a_slow_picture_lets_the_others_pass_and_comes_out_in_its_place():
    gate, answered = Gate(7), []

    def answer(tensor):
        answered.append(int(tensor.flat[0]))
        if len(answered) > 10:
            gate.opened.set()
        return by_first_pixel(tensor)

    with Classifier(FakeSession(answer, output=FakeSession(by_first_pixel).output)) as classifier:
        pictures = [gate] + [grey(value) for value in range(10, 60)]
        stream = classifier.stream(pictures, ahead=2, decoders=2)
        results = list(stream)
    assert [r.predictions[0].class_id for r in results] == [7] + list(range(10, 60))
    # More than the window had been answered before it came.
    assert answered.index(7) > 10


def test_a_source_that_says_none_at_present_gets_its_answers_first():
    """A program that waits for the answer to one picture before it sends the next one."""
    answered = []

    def pictures():
        for value in range(5):
            yield grey(value)
            while len(answered) <= value:
                yield None

    with Classifier(FakeSession(by_first_pixel)) as classifier:
        for result in classifier.stream(pictures()):
            answered.append(result.predictions[0].class_id)
    assert answered == list(range(5))


def test_a_slow_source_is_read_at_most_one_picture_before_an_answer_is_given_out():
    read, answered = [], []

    def answer(tensor):
        answered.append(int(tensor.flat[0]))
        return by_first_pixel(tensor)

    def pictures():
        for value in range(8):
            assert wait_until(lambda: len(answered) >= len(read))
            time.sleep(0.05)
            read.append(value)
            yield grey(value)

    with Classifier(FakeSession(answer, output=FakeSession(by_first_pixel).output)) as classifier:
        ahead = [len(read) - 1 - result.predictions[0].class_id for result in classifier.stream(pictures())]
    assert len(ahead) == 8 and max(ahead) <= 1


def test_closing_does_not_wait_for_a_picture_that_never_comes(monkeypatch):
    monkeypatch.setattr("coral_classify.streaming.streams._GRACE_S", 0.2)
    gate = Gate(0)
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        stream = classifier.stream([grey(1), gate, grey(2)])
        next(stream)
        assert gate.touched.wait(10)
        began = time.monotonic()
        stream.close()
        assert time.monotonic() - began < 5
        gate.opened.set()
        assert wait_until(lambda: not threads())


def test_a_defect_in_a_thread_is_raised_and_not_waited_for(monkeypatch):
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        monkeypatch.setattr("coral_classify.streaming.traffic.Traffic.finish", lambda self, item: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(classifier.stream([grey(0)]))
    assert wait_until(lambda: not threads())


def test_two_streams_of_one_classifier_do_not_mix():
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        one, other = (classifier.stream([grey(v) for v in values]) for values in (range(40), range(100, 140)))
        for number, (here, there) in enumerate(zip(one, other)):
            assert here.predictions[0].class_id == number and there.predictions[0].class_id == 100 + number


def test_memory_stays_flat(monkeypatch):
    """The proof over a hundred thousand pictures is benchmarks/flat.py; this finds what grows with each one."""
    monkeypatch.setattr("coral_classify.streaming.streams._STALL_S", 60.0)      # else a stall lets the window grow
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        stream = classifier.stream(grey(0) for _ in itertools.count())
        for _ in itertools.islice(stream, 200):
            pass
        gc.collect()
        before = len(gc.get_objects())
        for _ in itertools.islice(stream, 400):
            pass
        gc.collect()
        assert len(gc.get_objects()) - before < 200
        stream.close()


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch):
    at_once, most, lock = [0], [0], threading.Lock()
    decoded = preprocess._View.of

    def watched(self, image, *more):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.02)
        try:
            return decoded(self, image, *more)
        finally:
            with lock:
                at_once[0] -= 1

    monkeypatch.setattr(preprocess._View, "of", watched)
    content = io.BytesIO()
    Image.new("RGB", (300, 300)).save(content, "PNG")
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        list(classifier.stream([content.getvalue()] * 8, decoders=4))
        assert most[0] > 1
        most[0] = 0
        monkeypatch.setattr(preprocess, "_LARGE_BYTES", 100000)
        list(classifier.stream([content.getvalue()] * 8, decoders=4))
        assert most[0] == 1


def test_a_camera_may_fill_the_same_array_again():
    def frames():
        frame = grey(0)
        for value in range(20):
            frame[...] = value
            yield frame

    with Classifier(FakeSession(by_first_pixel)) as classifier:
        assert [r.predictions[0].class_id for r in classifier.stream(frames())] == list(range(20))


@pytest.mark.parametrize("wrong", [{"top_k": "3"}, {"top_k": 1.5}, {"threshold": float("nan")}, {"threshold": "0.5"}])
def test_parameters_of_another_kind_are_refused(wrong):
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        with pytest.raises(UsageError):
            classifier.classify(grey(0), **wrong)
        assert classifier.classify(grey(3), top_k=np.int64(1), threshold=np.float32(0.5)).predictions[0].class_id == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_a_stream_says_so_and_the_parent_goes_on():
    with Classifier(FakeSession(by_first_pixel)) as classifier:
        results = classifier.stream(grey(value % 4) for value in range(50))
        first = next(results)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                next(results)
            except SessionClosed as exc:
                code = 0 if "fork" in str(exc) else 2
            results.close()
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert first.error is None and len(list(results)) == 49


def test_whoever_asked_for_a_picture_hears_of_it_at_once_and_the_stream_gives_out_the_others():
    told, first_may_go_on = {}, threading.Event()

    class Slow(io.BytesIO):
        name = "slow"

        def read(self, *args):
            first_may_go_on.wait(60)
            return super().read(*args)

    def tell(name):
        def hear(result, failure):
            told[name] = (result, failure)
            if name == "second":
                first_may_go_on.set()       # it was not kept waiting by the one before it
        return hear

    with Classifier(FakeSession(by_first_pixel), mean=128, std=128) as classifier:
        one, all_of_them = classifier.wanted(top_k=1), classifier.wanted(top_k=256)
        results = list(classifier.stream([
            Asked(Slow(b"no picture"), one, tell("slow")), Asked(grey(7), one, tell("second")), grey(8),
            Asked(grey(9), all_of_them, tell("third"))], decoders=2, top_k=2))
    assert [[p.class_id for p in result.predictions][0] for result in results] == [8]
    assert len(results[0].predictions) == 2
    assert first_may_go_on.is_set()
    assert told["slow"][0].error and isinstance(told["slow"][1], ImageError)
    assert [p.class_id for p in told["second"][0].predictions] == [7] and told["second"][1] is None
    assert len(told["third"][0].predictions) == 256


def test_whoever_asked_for_a_picture_hears_that_the_device_is_lost():
    def fails(tensor):
        raise DeviceError("unplugged")

    told = []
    with Classifier(FakeSession(fails, output=TensorSpec((1, 4), np.dtype(np.uint8), Quantization(1 / 256, 0)))) as c:
        asked = Asked(grey(1), c.wanted(), lambda result, failure: told.append((result, failure)))
        assert list(c.stream([asked])) == []
    (result, failure), = told
    assert result.error == "unplugged" and isinstance(failure, DeviceError)
