"""The faults of the driver, at the simulated libedgetpu, through the whole Classifier: complete, in order, right, once.

Each stream is a thousand pictures; each fault comes at the 1st, 2nd, 10th and a random inference.
"""
from __future__ import annotations

import os
import random
import re

import numpy as np
import pytest
from PIL import Image
from worker_tools import children_of, descriptors, losses, wait_until

from coral_classify import Classifier
from coral_classify.cli import main
from coral_classify.errors import DeviceError, DeviceLost
from coral_classify.supervision.keeper import Keeper, Limits

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")
COUNT = 1000
RANDOM = random.Random()


@pytest.fixture
def stick(simulated_library, tmp_path, monkeypatch):
    """One simulated USB Accelerator; returns a function that sets its faults."""
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    monkeypatch.setenv("SIM_STATE", str(state))

    def behave(**settings):
        for name, value in settings.items():
            monkeypatch.setenv("SIM_" + name.upper(), value)
        return state
    return behave


@pytest.fixture(scope="module")
def pictures():
    """Pictures of one colour each, and the bytes that the network answers with."""
    colours = np.random.RandomState(7).randint(0, 256, (COUNT, 3)).astype(np.uint8)
    return [np.broadcast_to(colour, (8, 8, 3)) for colour in colours], colours


def check(results, colours):
    for number, result in enumerate(results):
        assert result.error is None, (number, result.error)
        scores = {p.label: p.score for p in result.predictions}
        expected = dict(zip(("red", "green", "blue"), colours[number] / 255))
        assert scores == pytest.approx(expected, abs=1e-6), number
    assert len(results) == len(colours)


def opened(pair, engine, events, **options):
    # The first inference after an opening gets three times the deadline, and two seconds more at least.
    return Classifier(pair, device="usb", engine=engine, on_event=events.append, deadline_ms=1000, **options)


@pytest.mark.parametrize("when", [1, 2, 10, "random"])
@pytest.mark.parametrize("kind", ["abort", "segv", "hang", "idle", "unplug", "stall", "overflow"])
def test_a_thousand_pictures_survive(kind, when, stick, pair, engine, pictures):
    number = RANDOM.randint(11, 600) if when == "random" else when
    stick(faults="%s:%d" % (kind, number), back="usb@/sys/bus/usb/devices/4-1")
    events = []
    with opened(pair, engine, events) as classifier:
        results = list(classifier.stream(pictures[0]))
        check(results, pictures[1])
        assert wait_until(lambda: [event.kind for event in events].count("back") == 1), (number, events)
        after = classifier.classify(pictures[0][0])
    assert after.device == "usb:0" and after.device_reason == "asked for usb"
    assert [event.kind for event in events if event.kind in ("lost", "back")] == ["lost", "back"], events
    assert {result.device for result in results} <= {"usb:0", "cpu"}
    # A death while idle may fall behind the last picture.
    assert sum(result.recovered for result in results + [after]) == 1, (number, events)
    words = {"hang": "did not answer within", "segv": "SIGSEGV", "idle": "the device was pulled out",
             "unplug": "the device was pulled out", "stall": "stalled a transfer", "overflow": "sent more than"}
    assert words.get(kind, "SIGABRT") in losses(events)[0].message


@pytest.mark.parametrize("fault, device", [("open-abort:1", "usb:0"), ("abort:1", "usb:1")])
def test_messages_name_the_device_that_was_meant(fault, device, stick, pair, any_engine, pictures):
    stick(devices="busy,usb", faults=fault)
    events = []
    with Classifier(pair, on_event=events.append) as classifier:
        result = classifier.classify(pictures[0][0])
        assert wait_until(lambda: any(event.kind == "back" for event in events))
    # On a busy machine the answer may fall into the next opening.
    assert result.device == "usb:1" or result.device_reason.startswith(
        ("%s is away" % device, "usb:1 is away: it is being opened"))
    assert [event.message.split(" lost")[0] for event in events if event.kind == "lost"] == [device]
    assert not [event for event in events if "auto" in event.message + str(event.device)]


@pytest.mark.parametrize("kind", ["abort", "hang", "unplug"])
def test_retry_waits_for_the_device_and_uses_nothing_else(kind, stick, pair, engine, pictures):
    number = RANDOM.randint(1, 900)
    stick(faults="%s:%d" % (kind, number), back="dfu")
    with opened(pair, engine, [], on_device_loss="retry") as classifier:
        results = list(classifier.stream(pictures[0]))
    check(results, pictures[1])
    assert {result.device for result in results} == {"usb:0"}
    # Which one is open: the device gets the pictures in the order in which the decoding threads have them ready.
    assert sum(result.recovered for result in results) == 1


def test_raise_fails_the_picture_in_flight_and_goes_on_when_the_device_is_back(stick, pair, any_engine, pictures):
    stick(faults="abort:10")
    events = []
    with opened(pair, any_engine, events, on_device_loss="raise") as classifier:
        for picture in pictures[0][:9]:
            classifier.classify(picture)
        with pytest.raises(DeviceLost, match="Abort. Deadline exceeded: USB transfer error 2.*; try another cable"):
            classifier.classify(pictures[0][9])
        assert wait_until(lambda: "back" in [event.kind for event in events])
        assert classifier.classify(pictures[0][10]).device == "usb:0"


@pytest.mark.parametrize("back", ["busy", "denied", "dfu", "", "pci", "usb@/sys/bus/usb/devices/1-1.3"])
def test_whatever_is_back_the_stream_is_complete(back, stick, pair, engine, pictures):
    stick(faults="unplug:5", back=back)
    events = []
    with opened(pair, engine, events) as classifier:
        results = list(classifier.stream(pictures[0]))
        check(results, pictures[1])
        assert next(result for result in results if result.recovered).device == "cpu"
        again = back in ("dfu", "usb@/sys/bus/usb/devices/1-1.3")
        assert wait_until(lambda: any(e.kind == "back" for e in events), 10 if again else 0.3) is again
        assert classifier.classify(pictures[0][0]).device == ("usb:0" if again else "cpu")


def test_a_stick_that_comes_back_later_is_taken_up_again(stick, pair, engine, pictures):
    state = stick(faults="unplug:5", back="")
    events = []
    with opened(pair, engine, events) as classifier:
        check(list(classifier.stream(pictures[0])), pictures[1])
        (state / "devices").write_text("usb@/sys/bus/usb/devices/3-2")
        assert wait_until(lambda: any(event.kind == "back" for event in events))
        assert classifier.classify(pictures[0][0]).device == "usb:0"


@pytest.mark.parametrize("fault", ["abort:*", "segv:*", "open-abort:*", "idle:*"])
def test_a_device_that_always_fails_is_rested_and_its_twin_answers(fault, stick, pair, engine, pictures):
    stick(faults=fault)
    events = []
    with opened(pair, engine, events) as classifier:
        results = list(classifier.stream(pictures[0]))
        check(results, pictures[1])
        if fault != "idle:*":
            assert {result.device for result in results} == {"cpu"}
        rested = wait_until(lambda: any(event.kind == "rested" for event in events), 20)
        check(list(classifier.stream(pictures[0])), pictures[1])
    assert rested, events
    text = [event.message for event in events if event.kind == "rested"][0]
    assert "power" in text and "cable" in text and "heat" in text and "coral-classify doctor" in text


def test_without_a_twin_every_picture_gets_its_own_error_within_bounds(stick, pair, any_engine, pictures):
    pair.with_name("colours.tflite").unlink()
    stick(faults="abort:*")
    with opened(pair, any_engine, []) as classifier:
        results = list(classifier.stream(pictures[0][:20]))
    assert len(results) == 20
    assert all("rests" in r.error or "CPU twin" in r.error for r in results), results[0].error


def test_a_hang_at_opening_ends_on_the_twin(stick, pair, engine, pictures, monkeypatch):
    stick(faults="open-hang:*")
    start = Keeper.__init__

    def impatient(self, name, *args, limits, **more):      # with the device; the twin may take its time
        start(self, name, *args, limits=limits if name == "cpu" else limits._replace(open_s=1.0, trial_s=0.0), **more)
    monkeypatch.setattr(Keeper, "__init__", impatient)
    events = []
    with opened(pair, engine, events) as classifier:
        results = list(classifier.stream(pictures[0]))
    check(results, pictures[1])
    assert {result.device for result in results} == {"cpu"}
    # A machine so slow that the worker did not come to ask the driver knows only what it was asked for.
    assert re.search(r"opening usb(:0)? took longer than 1 s", losses(events)[0].message)
    assert Limits().open_s > 25, "the driver itself gives up after 25 s, with a reason"


def test_the_first_opening_of_auto_falls_back_when_it_is_refused(stick, pair, engine):
    stick(faults="open-fail:*")
    with Classifier(pair, engine=engine) as classifier:
        assert classifier.device == "cpu"
        assert "did not open" in classifier.device_reason
    with pytest.raises(DeviceError, match="did not open"):
        Classifier(pair, device="usb", engine=engine)


def test_faults_leave_nothing_behind(stick, pair, any_engine, pictures):
    stick(faults="abort:3,segv:60,hang:90")
    with opened(pair, any_engine, []) as classifier:
        list(classifier.stream(pictures[0][:5]))
    before, children = descriptors(), set(children_of(os.getpid()))     # one may be ending yet
    stick(faults="abort:200,segv:300,hang:500")
    with opened(pair, any_engine, []) as classifier:
        check(list(classifier.stream(pictures[0])), pictures[1])
    assert wait_until(lambda: descriptors() <= before and set(children_of(os.getpid())) <= children)


def test_the_command_line_prints_one_line_for_each_event(stick, pair, any_engine, tmp_path, capsys):
    names = [str(tmp_path / ("%d.png" % i)) for i in range(6)]
    for name in names:
        Image.new("RGB", (8, 8), (0, 200, 0)).save(name)
    stick(faults="unplug:3", back="")
    assert main(names + ["--model", str(pair), "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 6
    told = [line for line in err.splitlines() if line.startswith("coral-classify: ")]
    assert "usb:0 lost: the device was pulled out" in told[0] and "USB transfer error 5" in told[0]
    assert told[1:] == ["coral-classify: going on on the CPU while usb:0 is away"]


def test_a_stick_that_is_plugged_in_late_takes_over_from_the_cpu(stick, pair, any_engine, pictures):
    state, events = stick(devices=""), []
    with Classifier(pair, on_event=events.append) as classifier:
        assert classifier.device == "cpu"
        assert classifier.device_reason.startswith(
            "no Edge TPU could be used; colours.tflite is the CPU twin: no Edge TPU is attached")
        check([classifier.classify(pictures[0][0])], pictures[1][:1])
        (state / "devices").write_text("usb")
        assert wait_until(lambda: classifier.classify(pictures[0][0]).device == "usb:0")
        assert classifier.device == "usb:0" and classifier.device_reason == "an Edge TPU is attached"
    kinds = [event.kind for event in events if event.kind != "opening"]
    assert kinds == ["absent", "open"], events


def test_one_passing_fault_at_the_start_costs_auto_nothing_but_the_moment(stick, pair, any_engine, pictures):
    stick(faults="open-fail:1")
    with Classifier(pair) as classifier:
        check(list(classifier.stream(pictures[0][:50])), pictures[1][:50])
        assert wait_until(lambda: classifier.classify(pictures[0][0]).device == "usb:0")
    with pytest.raises(DeviceError, match="did not open"):
        stick(faults="open-fail:*")
        Classifier(pair, device="usb")      # whoever names a device hears of it


@pytest.mark.parametrize("wait", [False, True])
def test_auto_waits_for_a_slow_opening_only_if_it_is_told_to(stick, pair, any_engine, pictures, wait, monkeypatch):
    monkeypatch.setattr("coral_classify.placement.opening._GRACE_S", 0.0)
    stick(second_ms="1" if wait else "1500")    # the driver takes two of its seconds
    with Classifier(pair, wait_for_device=wait) as classifier:
        first = classifier.classify(pictures[0][0])
        assert first.device == ("usb:0" if wait else "cpu")
        assert first.device_reason == ("an Edge TPU is attached" if wait else
                                       "the Edge TPU is being opened, and the CPU answers meanwhile")
        assert wait_until(lambda: classifier.classify(pictures[0][0]).device == "usb:0")
