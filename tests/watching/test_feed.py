"""A camera that drops out, stalls and comes back; the clock is the test's."""
from __future__ import annotations

import threading

import pytest

from coral_classify import CameraError
from coral_classify.cameras import Camera, Frame
from coral_classify.watching.feed import Ended, Feed

PATIENT = 30.0      # for what another thread is about to do; never waited out


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Scripted(Camera):
    """Each opening follows its own script: "frame", an error to raise, "hang"."""

    def __init__(self, clock, *openings, live=True):
        super().__init__("scripted")
        self.live = live
        self._clock = clock
        self._openings = list(openings)
        self.opened = 0

    def frames(self, over):
        script = self._openings[min(self.opened, len(self._openings) - 1)]
        self.opened += 1
        for step in script:
            if step == "frame":
                yield Frame(self.name, self._clock(), self._clock(), lambda: None)
            elif step == "hang":
                over.wait(PATIENT)
                return
            else:
                raise step


@pytest.fixture
def fed():
    """Makes feeds with a clock of their own, and closes them."""
    made = []

    def make(*openings, newest=False, live=True):
        clock, events = Clock(), []
        source = Scripted(clock, *openings, live=live)
        feed = Feed(source, newest=newest, stall_s=10.0, tell=events.append, clock=clock)
        made.append(feed)
        return feed, clock, events, source
    yield make
    for feed in made:
        feed.close()


def taken(feed):
    """The next frame, however long its thread takes."""
    while True:
        frame = feed.take(PATIENT)
        if frame is not None:
            return frame


def test_frames_come_in_order_and_end(fed):
    feed, _, events, _ = fed(["frame"] * 9, live=False)
    assert [taken(feed).number for _ in range(9)] == list(range(1, 10))
    with pytest.raises(Ended):
        taken(feed)
    assert events == []


def test_the_newest_frame_takes_the_place_of_those_before_it(fed):
    feed, _, _, _ = fed(["frame"] * 5 + ["hang"], newest=True)
    numbers = []
    while 5 not in numbers:
        numbers.append(taken(feed).number)
    assert numbers == sorted(set(numbers))


def test_where_none_may_be_lost_the_camera_waits(fed):
    feed, _, _, _ = fed(["frame"] * 50, live=False)
    assert [taken(feed).number for _ in range(50)] == list(range(1, 51))


def test_a_camera_that_never_opened_is_an_error(fed):
    feed, _, events, _ = fed([CameraError("scripted: no such device")])
    with pytest.raises(CameraError, match="no such device"):
        taken(feed)
    assert events == []


def test_a_file_that_breaks_off_is_an_error_and_not_tried_again(fed):
    feed, _, _, source = fed(["frame", CameraError("scripted: torn")], live=False)
    assert taken(feed).number == 1
    with pytest.raises(CameraError, match="torn"):
        taken(feed)
    assert source.opened == 1


def test_a_defect_is_no_drop_out(fed):
    feed, _, events, _ = fed(["frame", ZeroDivisionError()])
    taken(feed)
    with pytest.raises(ZeroDivisionError):
        taken(feed)
    assert events == []


def test_a_camera_that_drops_out_is_told_of_once_and_comes_back(fed):
    away = CameraError("scripted: unplugged")
    feed, clock, events, source = fed(["frame", away], [away], [away], ["frame", "hang"])
    assert taken(feed).number == 1
    frame = None
    while frame is None:
        frame = feed.take(0.01)
        clock.now += 1.0
    assert frame.number == 2 and source.opened == 4
    assert [(event.kind, event.device) for event in events] == [("lost", "scripted"), ("back", "scripted")]
    assert "unplugged; trying again" in events[0].message


def test_the_pauses_grow(fed):
    away = CameraError("scripted: unplugged")
    feed, clock, _, source = fed(["frame", away], [away])
    taken(feed)
    for _ in range(300):        # more than a minute
        feed.take(0.001)
        clock.now += 0.25
    assert 3 <= source.opened <= 9


def test_a_camera_that_says_nothing_is_found_by_the_deadline(fed):
    feed, clock, events, source = fed(["frame", "hang"], ["frame", "hang"])
    taken(feed)
    clock.now += 9.9
    assert feed.take(0.001) is None and events == []
    clock.now += 0.2
    assert feed.take(0.001) is None and events[0].kind == "lost"
    assert "gave no picture for 10 s" in events[0].message
    frame = None
    while frame is None:
        frame = feed.take(0.01)
        clock.now += 0.1
    assert source.opened == 2 and events[1].kind == "back"


def test_readers_that_hang_do_not_pile_up(fed):
    release = threading.Event()

    class Deaf(Scripted):
        def frames(self, over):
            self.opened += 1
            if self.opened == 1:
                yield Frame(self.name, self._clock(), 0.0, lambda: None)
            release.wait(PATIENT)       # and not for over

    clock, events = Clock(), []
    source = Deaf(clock)
    feed = Feed(source, newest=True, stall_s=10.0, tell=events.append, clock=clock)
    try:
        taken(feed)
        for _ in range(300):
            clock.now += 11.0
            feed.take(0.001)
        assert source.opened == 3 and [event.kind for event in events] == ["lost"]
    finally:
        release.set()
        feed.close()


def test_a_frame_that_lay_there_too_long_is_no_answer(fed):
    feed, clock, _, _ = fed(["frame", "hang"], newest=True)
    while not feed._frames:     # its thread is about to bring it
        threading.Event().wait(0.001)
    clock.now += 11.0
    assert feed.take(0.0) is None


def test_closing_ends_a_reader_that_waits_for_room(fed):
    feed, _, _, _ = fed(["frame"] * 50, live=False)
    taken(feed)
    reader = feed._attempt.thread
    feed.close()
    reader.join(PATIENT)
    assert not reader.is_alive()
