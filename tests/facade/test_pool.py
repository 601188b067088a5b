"""Several devices as one, at the simulated library and at the CPU."""
from __future__ import annotations

import itertools
import os
import signal
import threading

import numpy as np
import pytest
from test_faults import check, pictures, stick  # noqa: F401  (fixtures)
from worker_tools import children_of, wait_until

from coral_classify import AcceleratorRecord, Classifier, Pool, UsageError
from coral_classify.errors import DeviceError
from coral_classify.pool import opening

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("coral-classify-d")]


def test_all_devices_work_and_results_come_in_order(stick, pair, any_engine, pictures):  # noqa: F811
    stick(devices="usb,usb,pci", invoke_ms="1")
    with Pool(pair) as pool:
        assert pool.devices == ("usb:0", "usb:1", "pci:0")
        results = list(pool.stream(pictures[0]))
        check(results, pictures[1])
        assert {result.device for result in results} == {"usb:0", "usb:1", "pci:0"}
        assert pool.classify(pictures[0][0]).device == "usb:0"
    assert pool.closed and wait_until(lambda: not threads())


def test_a_busy_device_is_left_out_and_without_any_the_cpu_works(stick, pair, any_engine, pictures):  # noqa: F811
    stick(devices="busy,usb")
    with Pool(pair) as pool:
        assert pool.devices == ("usb:1",)
    with pytest.raises(DeviceError):
        Pool(pair, devices=["usb:0", "usb:1"])
    stick(devices="")
    with Pool(pair) as pool:
        assert pool.devices == ("cpu",)
        check(list(pool.stream(pictures[0])), pictures[1])


def test_a_device_and_the_cpu_share_the_work(stick, pair, any_engine, pictures):  # noqa: F811
    stick(invoke_ms="2")
    with Pool(pair, devices=["usb:0", "cpu"]) as pool:
        results = list(pool.stream(pictures[0]))
    check(results, pictures[1])
    assert {result.device for result in results} == {"usb:0", "cpu"}


@pytest.mark.parametrize("kind", ["abort", "hang"])
def test_a_lost_device_s_work_goes_to_the_others(stick, pair, any_engine, pictures, kind):  # noqa: F811
    stick(devices="usb,usb", faults=",".join("%s:%d" % (kind, n) for n in (7, 400)))
    pair.with_name("colours.tflite").unlink()       # the CPU cannot help
    events = []
    with Pool(pair, deadline_ms=1000, on_event=events.append) as pool:
        results = list(pool.stream(pictures[0]))
        check(results, pictures[1])
        assert wait_until(lambda: [e.kind for e in events].count("back") == [e.kind for e in events].count("lost") > 0)
        check(list(pool.stream(pictures[0])), pictures[1])
    assert {result.device for result in results} <= {"usb:0", "usb:1"}


def test_a_picture_that_kills_every_device_gets_an_error(stick, pair, any_engine, pictures):  # noqa: F811
    stick(devices="usb,usb", faults="abort:5,abort:6,abort:7,abort:8,abort:9")
    with Pool(pair) as pool:
        results = list(pool.stream(pictures[0][:40]))
    assert len(results) == 40
    for result, colour in zip(results, pictures[1]):
        if result.error is None:
            assert {p.label: round(p.score * 255) for p in result.predictions} == dict(
                zip(("red", "green", "blue"), colour))


def test_broken_pictures_are_results_and_closing_leaves_no_thread(stick, pair, any_engine, pictures):  # noqa: F811
    stick(devices="usb,usb")
    with Pool(pair) as pool:
        results = list(pool.stream([pictures[0][0], b"broken", "/no/such.png", pictures[0][1]]))
        assert [result.error is None for result in results] == [True, False, False, True]
        endless = pool.stream(np.zeros((8, 8, 3), np.uint8) for _ in iter(int, 1))
        next(endless)
        endless.close()
        assert wait_until(lambda: not threads())
        with pytest.raises(UsageError):
            pool.stream([], top_k=0)
        with pytest.raises(UsageError):
            pool.stream([], ahead=0)
    with pytest.raises(UsageError):
        Pool(pair, devices=[])


def test_while_every_device_is_away_the_cpu_twin_answers(stick, pair, any_engine, pictures):  # noqa: F811
    stick(devices="usb,usb")
    with Pool(pair) as pool:
        check(list(pool.stream(pictures[0][:20])), pictures[1][:20])
        stick(devices="")       # for whoever opens one from now on; those that are open die of their next inferences
        for child in children_of(os.getpid()):
            os.kill(child, signal.SIGKILL)
        results = list(pool.stream(pictures[0]))
        check(results, pictures[1])
        assert {result.device for result in results} == {"cpu"}
        assert sum(result.recovered for result in results) <= 2
        assert pool.classify(pictures[0][0]).device == "cpu"
        stick(devices="usb,usb")
        assert wait_until(lambda: pool.classify(pictures[0][0]).device == "usb:0")
    assert pool.closed and wait_until(lambda: not threads())


def test_while_every_device_is_away_and_there_is_no_twin_a_picture_gets_an_error_in_the_end(
        stick, pair, any_engine, pictures, monkeypatch):  # noqa: F811
    monkeypatch.setattr("coral_classify.streaming.streams._PATIENCE_S", 1.0)
    stick(devices="usb,usb")
    pair.with_name("colours.tflite").unlink()
    with Pool(pair) as pool:
        stick(devices="")
        for child in children_of(os.getpid()):
            os.kill(child, signal.SIGKILL)
        results = list(pool.stream(pictures[0][:30]))
    assert len(results) == 30 and all("every device is away" in result.error for result in results)


def test_a_pool_of_all_takes_up_a_stick_that_is_plugged_in_later(
        stick, pair, any_engine, pictures, monkeypatch):  # noqa: F811
    monkeypatch.setattr("coral_classify.pool.pool._LOOK_S", 0.01)
    stick(invoke_ms="2")
    with Pool(pair) as pool:
        assert pool.devices == ("usb:0",)
        results = pool.stream(itertools.cycle(pictures[0]))
        assert next(results).device == "usb:0"
        stick(devices="usb,usb")
        assert next(result for result in results if result.device == "usb:1").error is None     # of this very stream
        results.close()
        assert pool.devices == ("usb:0", "usb:1")
        check(list(pool.stream(pictures[0])), pictures[1])
    assert pool.closed and wait_until(lambda: not threads())


def test_a_pool_without_a_stick_takes_up_the_first_one_that_is_plugged_in(
        stick, pair, any_engine, pictures):  # noqa: F811
    state = stick(devices="")
    with Pool(pair) as pool:
        assert pool.classify(pictures[0][0]).device == "cpu"
        (state / "devices").write_text("usb")
        assert wait_until(lambda: pool.classify(pictures[0][0]).device == "usb:0")


def record(index, path="/a", state="attached"):
    return AcceleratorRecord("usb", index, path, state, None, None)


def test_sticks_open_side_by_side(pair, any_engine):
    together = threading.Barrier(3)

    def opened(name):
        together.wait(30)       # breaks unless all three are in here at the same time
        return Classifier(pair, device="cpu")
    outcomes = opening.opened_at_once(opened, ["usb:0", "usb:1", "pci:0"], True)
    assert len(outcomes) == 3
    for classifier in outcomes:
        classifier.close()


@pytest.mark.parametrize("names, apart", [
    (["usb:0", "usb:1"], False), (["usb", "usb:1"], True), (["usb", "usb"], True)])
def test_where_they_share_a_process_or_the_choice_is_open_they_open_one_after_another(names, apart):
    inside, order = [], []

    def opened(name):
        assert not inside
        inside.append(name)
        order.append(name)
        inside.clear()
        raise DeviceError("not today")
    assert [type(outcome) for outcome in opening.opened_at_once(opened, names, apart)] == [DeviceError] * 2
    assert order == names


def test_what_is_no_matter_of_a_device_closes_the_others(pair, any_engine):
    kept = []

    def opened(name):
        if name == "usb:1":
            raise UsageError("a wrong argument")
        kept.append(Classifier(pair, device="cpu"))
        return kept[0]
    with pytest.raises(UsageError, match="a wrong argument"):
        opening.opened_at_once(opened, ["usb:0", "usb:1"], True)
    assert kept[0].closed


def test_sticks_that_sleep_are_woken_one_after_another_as_each_moves_the_names_of_the_others(monkeypatch):
    listing = [record(0, "/a", "not initialised"), record(1, "/b"), record(2, "/c", "not initialised")]
    monkeypatch.setattr(opening, "list_devices", lambda: list(listing))
    woken = []

    class Opened:
        def close(self):
            pass

    def opened(name):
        path = next(r.path for r in listing if r.name == name)
        woken.append(path)
        rest = [r.path for r in listing if r.path != path]      # it comes back last, and with another path
        asleep = {r.path for r in listing if r.state == "not initialised"} - {path}
        listing[:] = [record(i, p, "not initialised" if p in asleep else "attached")
                      for i, p in enumerate(rest + [path + path])]
        return Opened()
    opening.wake(opened, None)
    assert woken == ["/a", "/c"] and not [r for r in listing if r.state == "not initialised"]


def test_a_stick_that_does_not_wake_is_tried_once_and_one_that_is_not_wanted_is_left_alone(monkeypatch):
    monkeypatch.setattr(opening, "list_devices", lambda: [
        record(0, "/a", "not initialised"), record(1, "/b", "not initialised")])
    tried = []

    def opened(name):
        tried.append(name)
        raise DeviceError("no")
    opening.wake(opened, ["usb:1", "usb:2"])
    assert tried == ["usb:1"]
