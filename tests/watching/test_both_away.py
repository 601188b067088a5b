"""The camera and the accelerator are both away, and come back in either order: the answers go on, and are right."""
from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from worker_tools import wait_until

from coral_classify import CameraError, Classifier
from coral_classify.cameras import Camera, Frame

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")
RED, GREEN, BLUE = ((200, 40, 10), (40, 200, 10), (10, 40, 200))


class Unsteady(Camera):
    """A live camera of one colour that is there, or not."""

    def __init__(self):
        super().__init__("unsteady")
        self.there = threading.Event()
        self.there.set()
        self.colour = RED

    def frames(self, over):
        while self.there.is_set():
            colour, now = self.colour, time.monotonic()
            yield Frame(self.name, now, now, lambda colour=colour: np.broadcast_to(np.uint8(colour), (8, 8, 3)))
            if over.wait(0.005):
                return
        raise CameraError("unsteady: pulled out")


class Watched:
    """Answers of a classifier, collected in a thread of their own."""

    def __init__(self, classifier, source, events):
        self.results = []
        self._over = threading.Event()
        answers = classifier.watch(source, steadiness=None, on_event=events.append)

        def work():
            for result in answers:
                self.results.append(result)
                if self._over.is_set():
                    break
            answers.close()
        self._thread = threading.Thread(target=work)
        self._thread.start()

    def answers(self, label, device):
        """Whether such an answer comes from now on."""
        first = len(self.results)
        return wait_until(lambda: any(result.predictions[0].label == label and result.device == device
                                      for result in self.results[first:]))

    def end(self):
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("first_back", ["camera", "accelerator"])
def test_both_may_be_away_at_the_same_time(first_back, simulated_library, pair, any_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    monkeypatch.setenv("SIM_STATE", str(tmp_path))
    attached = tmp_path / "devices"
    attached.write_text("usb")
    source, of_camera, of_device = Unsteady(), [], []
    with Classifier(pair, device="usb", engine=any_engine, on_event=of_device.append) as classifier:
        watched = Watched(classifier, source, of_camera)
        try:
            assert watched.answers("red", "usb:0")
            attached.write_text("")
            source.there.clear()
            assert wait_until(lambda: [event.kind for event in of_camera] == ["lost"])
            source.colour = GREEN
            if first_back == "camera":
                source.there.set()
                assert watched.answers("green", "cpu")      # its twin, while the stick is away
                assert [event.kind for event in of_camera] == ["lost", "back"] and of_device[0].kind == "lost"
                attached.write_text("usb@/sys/bus/usb/devices/3-2")
            else:
                attached.write_text("usb@/sys/bus/usb/devices/3-2")
                source.there.set()
            assert watched.answers("green", "usb:0")
            source.colour = BLUE
            assert watched.answers("blue", "usb:0")
        finally:
            source.there.set()
            watched.end()
    assert [event.kind for event in of_camera] == ["lost", "back"]
    assert not any(result.error for result in watched.results)
    # No picture was answered with another's colour, on whichever device.
    colours = [result.predictions[0].label for result in watched.results]
    assert [label for i, label in enumerate(colours) if i == 0 or colours[i - 1] != label] == ["red", "green", "blue"]
