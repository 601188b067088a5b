"""A camera through a classifier: what is answered, what is let go, and what is left behind."""
from __future__ import annotations

import functools
import gc
import itertools
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from coral_classify import CameraError, Classifier, DeviceError, SessionClosed, UsageError
from coral_classify.cameras import Camera, Frame, Synthetic
from coral_classify.pictures import Scalable
from coral_classify.testing import FakeSession
from coral_classify.watching import Steadiness

OURS = "coral-classify-"
PATIENT = 30.0


class Colours(Camera):
    """A camera of plain colours, each shown when it is asked for."""

    def __init__(self, *colours, live=False, rate=10.0):
        super().__init__("colours")
        self.live = live
        self._colours = colours
        self._rate = rate

    def frames(self, over):
        for position, colour in enumerate(self._colours):
            pixels = np.zeros((8, 8, 3), np.uint8)
            pixels[:] = colour
            yield Frame(self.name, 0.0, position / self._rate, lambda pixels=pixels: pixels)


def brightest(tensor):
    """Scores are the mean colours: red, green, blue."""
    return tensor.reshape(-1, 3).mean(axis=0, keepdims=True).astype(np.uint8)


@pytest.fixture
def classifier():
    with Classifier(FakeSession(brightest), labels=["red", "green", "blue"], mean=128, std=128) as made:
        yield made
    for thread in threading.enumerate():
        if thread.name.startswith(OURS):
            thread.join(PATIENT)        # on a busy machine it may be about to end
            assert not thread.is_alive(), thread


RED, GREEN = (200, 0, 0), (0, 200, 0)


def test_every_frame_of_a_file_is_answered_in_order(classifier):
    results = list(classifier.watch(Synthetic((64, 48), rate=0, count=40)))
    assert [result.image for result in results] == ["test#%d" % number for number in range(1, 41)]
    assert [result.skipped for result in results] == [0] * 40
    assert all(result.frame_age_ms >= 0 and result.frame is None for result in results)


def test_of_a_live_camera_the_newest_frame_is_answered_and_the_skipped_are_counted():
    asked, go_on = threading.Event(), threading.Event()

    def slow(tensor):
        asked.set()
        go_on.wait(PATIENT)
        return brightest(tensor)

    source = Live()
    session = FakeSession(slow, output=FakeSession(brightest).output)
    with Classifier(session, labels=["red", "green", "blue"], mean=128, std=128) as classifier:
        answers = classifier.watch(source, steadiness=None)
        results = []
        reader = threading.Thread(target=lambda: results.extend(itertools.islice(answers, 3)))
        reader.start()
        source.show(RED)
        assert asked.wait(PATIENT)
        for _ in range(20):         # while the device is at the first
            source.show(RED)
        source.show(GREEN)          # the newest
        source.settle()
        go_on.set()
        while reader.is_alive() and len(results) < 3:
            source.show(GREEN)
            reader.join(0.01)
        reader.join(PATIENT)
        answers.close()
    numbers = [int(result.image.split("#")[1]) for result in results]
    assert numbers[0] == 1 and numbers[1] >= 21, "nothing old is answered"
    assert [result.skipped for result in results] == [0, numbers[1] - 2, numbers[2] - numbers[1] - 1]


class Live(Camera):
    """A camera that gives a frame when the test shows one."""

    def __init__(self):
        super().__init__("live")
        self._shown = []
        self._there = threading.Condition()

    def show(self, colour):
        import time

        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[:] = colour
        with self._there:
            now = time.monotonic()
            self._shown.append(Frame(self.name, now, now, lambda: pixels))
            self._there.notify()

    def settle(self):
        """Wait until all were handed over, and the last one is prepared."""
        while self._shown:
            threading.Event().wait(0.005)
        threading.Event().wait(0.05)

    def frames(self, over):
        while not over.is_set():
            with self._there:
                if not self._shown:
                    self._there.wait(0.01)
                    continue
                frame = self._shown.pop(0)
            yield frame


def test_a_change_is_published_once_it_lasts(classifier):
    source = Colours(RED, GREEN, RED, GREEN, GREEN, GREEN, GREEN)
    results = list(classifier.watch(source, steadiness=Steadiness(half_life_s=0, in_a_row=3)))
    assert [result.changed for result in results] == [True, False, False, False, False, True, False]
    assert results[5].predictions[0].label == "green"


def test_scores_are_averaged_over_time(classifier):
    source = Colours(RED, GREEN, GREEN, rate=1.0)
    results = list(classifier.watch(source, steadiness=Steadiness(half_life_s=1.0, in_a_row=1)))
    scores = [{p.label: round(p.score * 256) for p in result.predictions} for result in results]
    assert [(s["red"], s["green"]) for s in scores] == [(200, 0), (100, 100), (50, 150)]
    assert [result.changed for result in results] == [True, False, True]


def test_steadiness_is_off_with_one_switch(classifier):
    results = list(classifier.watch(Colours(RED, GREEN, RED), steadiness=None))
    assert [result.changed for result in results] == [True] * 3
    assert round(results[1].predictions[0].score * 256) == 200


def test_unrelated_pictures_are_not_averaged(classifier, tmp_path):
    for name, colour in (("1.png", RED), ("2.png", GREEN), ("3.png", RED)):
        Image.new("RGB", (8, 8), colour).save(str(tmp_path / name))
    from coral_classify.cameras import camera

    results = list(classifier.watch(camera(tmp_path, interval_s=0)))
    assert [result.predictions[0].label for result in results] == ["red", "green", "red"]
    assert all(result.changed for result in results)


def test_of_a_file_a_frame_is_taken_every_so_many_seconds_of_its_time(classifier):
    results = list(classifier.watch(Synthetic((64, 48), rate=0, count=60), every_s=0.5))      # at 30 frames a second
    assert [result.image for result in results] == ["test#%d" % number for number in (1, 16, 31, 46)]
    assert [result.skipped for result in results] == [0, 14, 14, 14]


@pytest.mark.parametrize("how", [{}, {"every_frame": True}, {"every_s": 0.001}])
def test_closing_leaves_no_thread(classifier, how):
    answers = classifier.watch("test", **how)
    assert next(answers).image.startswith("test#")
    answers.close()         # the fixture looks for threads


def test_results_carry_the_picture_if_asked(classifier):
    results = list(classifier.watch(Colours(RED, GREEN), with_frames=True))
    assert [tuple(result.frame[0, 0]) for result in results] == [RED, GREEN]


def test_a_frame_that_can_be_had_smaller_is_asked_for_that_and_whole_only_where_it_is_answered(classifier):
    whole = []

    class Small(Scalable):
        def at(self, size):
            return np.full((size[1], size[0], 3), GREEN, np.uint8)

    class Large(Camera):
        live = False

        def frames(self, over):
            for number in range(3):
                yield Frame("large", 0.0, number / 30, functools.partial(whole.append, number),
                            scalable=Small((1 << 14, 1 << 14)))
    assert [result.predictions[0].label for result in classifier.watch(Large("large"))] == ["green"] * 3 and not whole
    list(classifier.watch(Large("large"), with_frames=True))
    assert whole == [0, 1, 2]
    del whole[:]
    wanted = iter([False, True, False])
    list(classifier.watch(Large("large"), with_frames=lambda: next(wanted)))
    assert whole == [1]


def test_the_record_for_json_has_the_age(classifier):
    record = next(iter(classifier.watch(Colours(RED)))).to_dict()
    assert record["changed"] is True and record["skipped"] == 0 and record["frame_age_ms"] >= 0


@pytest.mark.parametrize("options", [{"every_s": -1}, {"stall_s": 0}, {"every_s": 1, "every_frame": True},
                                     {"steadiness": Steadiness(0.5, 0)}, {"top_k": 0}, {"region": [1, 2]}])
def test_what_cannot_be_meant_is_said_at_once(classifier, options):
    with pytest.raises(UsageError):
        classifier.watch(Colours(RED), **options)


@pytest.mark.parametrize("how", [{}, {"every_frame": True}, {"every_s": 0.001}])
def test_a_camera_that_does_not_open_raises(classifier, how):
    class Absent(Camera):
        def frames(self, over):
            raise CameraError("absent: no such device")
            yield

    with pytest.raises(CameraError, match="no such device"):
        next(classifier.watch(Absent("absent"), **how))


@pytest.mark.parametrize("how", [{}, {"every_frame": True}, {"every_s": 0.001}])
def test_a_picture_that_cannot_be_read_is_a_result_and_it_goes_on(classifier, how, tmp_path):
    (tmp_path / "torn.png").write_bytes(b"torn")
    from coral_classify.cameras import camera

    answers = classifier.watch(camera(tmp_path / "torn.png", interval_s=0.01), **how)
    results = list(itertools.islice(answers, 3))
    answers.close()
    assert all("torn.png" in result.error and result.changed is False for result in results)


def test_a_device_that_is_away_fails_its_picture_and_the_camera_goes_on():
    calls = itertools.count()

    def lost_at_first(tensor):
        if next(calls) == 1:        # the first call finds out the shape
            raise DeviceError("usb:0 was pulled out")
        return brightest(tensor)

    with Classifier(FakeSession(lost_at_first, output=FakeSession(brightest).output), mean=128, std=128) as classifier:
        next(calls)
        answers = classifier.watch("test")
        results = list(itertools.islice(answers, 2))
        answers.close()
    assert ["pulled out" in (result.error or "") for result in results] == [True, False]


@pytest.mark.parametrize("how", [{}, {"every_s": 0.001}])
def test_a_closed_session_ends_it(how):
    classifier = Classifier(FakeSession(brightest), mean=128, std=128)
    answers = classifier.watch("test", **how)
    next(answers)
    classifier.close()
    with pytest.raises(SessionClosed):
        for _ in answers:
            pass


def test_a_camera_and_its_return_are_told(classifier):
    class Shaky(Camera):
        opened = 0

        def frames(self, over):
            Shaky.opened += 1
            source = Synthetic((64, 48), rate=0, count=3).frames(over)
            yield from source
            raise CameraError("shaky: unplugged")

    events = []
    answers = classifier.watch(Shaky("shaky"), every_frame=True, on_event=events.append)
    results = list(itertools.islice(answers, 6))
    answers.close()
    assert [event.kind for event in events][:2] == ["lost", "back"] and len(results) == 6


@pytest.mark.parametrize("with_frames", [False, True])
def test_memory_stays_flat_over_many_frames(classifier, with_frames):
    # Not tracemalloc: stopping it while other threads run crashes CPython now and then.
    def used():
        gc.collect()
        return sys.getallocatedblocks()

    answers = classifier.watch(Synthetic((64, 48), rate=0), with_frames=with_frames)
    for _ in itertools.islice(answers, 200):
        pass
    before = used()
    for _ in itertools.islice(answers, 800):
        pass
    grown = used() - before
    answers.close()
    assert grown < 400, "whatever is kept of 800 frames is at least 800 objects"
