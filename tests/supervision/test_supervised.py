"""A session in a child process that crashes, hangs and comes back: real processes, no engine."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest
import worker_factories
from worker_tools import KILLS, check_stream, children_of, descriptors, never_resting, quick, supervised, wait_until

from coral_classify.errors import (
    DeadlineExceeded,
    DeviceError,
    DeviceLost,
    EngineError,
    ModelError,
    SessionClosed,
    UsageError,
)
from coral_classify.supervision.health import DeviceHealth
from coral_classify.supervision.policy import decide
from coral_classify.supervision.supervised import SupervisedSession

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")

TWIN = {"device": "cpu", "salt": 9}
DEADLY = ["abort", "segfault", "exit", "hang", "native hang", "stop"]


@pytest.fixture
def counter(tmp_path):
    return str(tmp_path / "count")


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Every test here ends with as many descriptors, threads and children as it began with."""
    before = descriptors(), threading.active_count(), len(children_of(os.getpid()))
    yield
    assert wait_until(
        lambda: (descriptors(), threading.active_count(), len(children_of(os.getpid()))) <= before, 20.0
    ), (before, descriptors(), threading.enumerate(), children_of(os.getpid()))


# ---- the contract


def test_it_answers_like_the_session_in_the_child():
    with supervised({}) as session:
        assert session.device == "usb:0"
        assert session.input.shape == (1, 8, 8, 3)
        output = session.run(worker_factories.picture(300))
        assert output.tolist() == [[44, 1, 0, 7]]
        later = session.run(worker_factories.picture(1))
        assert output.tolist() == [[44, 1, 0, 7]] and later.tolist() == [[1, 0, 0, 7]]
        assert session.answer == ("usb:0", False, None)


def test_a_wrong_tensor_is_refused_before_it_travels():
    with supervised({}) as session:
        with pytest.raises(ValueError, match="takes uint8"):
            session.run(np.zeros((1, 8, 8, 3), np.float32))


def test_a_tensor_need_not_be_contiguous():
    with supervised({}) as session:
        wide = np.zeros((1, 8, 16, 3), np.uint8)
        wide[0, 0, 0, 0] = 5
        assert session.run(wide[:, :, ::2])[0, 0] == 5


def test_closing_twice_and_using_it_afterwards():
    session = supervised({})
    session.close()
    session.close()
    assert session.closed
    with pytest.raises(SessionClosed):
        session.run(worker_factories.picture(1))


def test_a_forgotten_session_takes_its_worker_along():
    session = supervised({})
    assert children_of(os.getpid())
    del session  # the fixture checks the rest


def test_many_threads_are_served_one_after_the_other():
    with supervised({}) as session:
        wrong = []

        def work(start):
            for value in range(start, start + 50):
                if session.run(worker_factories.picture(value))[0, 0] != value % 256:
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(50 * i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


# ---- each fault, at each place, with each policy


@pytest.mark.parametrize("way", DEADLY)
@pytest.mark.parametrize("place", [1, 2, 10, "random"])
def test_with_a_twin_a_stream_stays_complete_and_in_order(way, place, counter):
    at = random.randint(11, 990) if place == "random" else place
    events = []
    with supervised(
        {"count": counter, "faults": {str(at): way}},
        twin=TWIN,
        on_event=events.append,
        limits=quick(run_s=1.0, first_s=1.0),
    ) as session:
        notes = check_stream(session, range(1000))
        # Taken up again while the stream goes on; the worker proves itself before it gets a picture.
        assert wait_until(lambda: session.trouble is None)
        notes += check_stream(session, range(1000, 1010))
    assert [i for i, note in enumerate(notes) if note.recovered] == [at - 1], at
    assert notes[at - 1].device in ("cpu", "usb:0")
    assert [note.device for note in notes[-10:]] == ["usb:0"] * 10
    assert [event.kind for event in events if event.kind != "failed_over"] == ["lost", "back"]


@pytest.mark.parametrize("way", DEADLY)
def test_with_retry_the_picture_in_flight_is_run_again(way, counter):
    with supervised(
        {"count": counter, "faults": {"3": way}}, on_device_loss="retry", limits=quick(run_s=1.0, first_s=1.0)
    ) as session:
        notes = check_stream(session, range(20))
    assert [i for i, note in enumerate(notes) if note.recovered] == [2]
    assert {note.device for note in notes} == {"usb:0"}


@pytest.mark.parametrize(
    "way, error", [("abort", DeviceLost), ("hang", DeadlineExceeded), ("busy", DeviceError)]
)
def test_with_raise_the_picture_in_flight_fails_and_later_ones_work(way, error, counter):
    with supervised(
        {"count": counter, "faults": {"2": way}},
        twin=TWIN,
        on_device_loss="raise",
        limits=quick(run_s=0.5, first_s=0.5),
    ) as session:
        check_stream(session, [1])
        with pytest.raises(error):
            session.run(worker_factories.picture(2))
        assert wait_until(lambda: session.trouble is None)
        assert [note.device for note in check_stream(session, range(5))] == ["usb:0"] * 5


def test_the_drivers_last_words_are_the_reason(counter):
    with supervised({"count": counter, "faults": {"1": "abort"}}, on_device_loss="raise") as session:
        with pytest.raises(
            DeviceLost, match=r"aborted \(SIGABRT\).*usb_driver.cc:857\] transfer on tag 0"
        ) as caught:
            session.run(worker_factories.picture(2))
    assert "transfer on tag 0 failed" in caught.value.evidence


def test_a_picture_that_kills_every_worker_fails_alone_without_a_twin(counter):
    with supervised(
        {"count": counter, "faults": {"2": "abort", "4": "abort", "6": "abort"}}, on_device_loss="retry"
    ) as session:
        check_stream(session, [1])
        with pytest.raises(DeviceLost):  # runs 2, 4 and 6; 3 and 5 are the proofs of the reopened worker
            session.run(worker_factories.picture(2))
        check_stream(session, range(3, 20))


def test_an_engine_that_refuses_in_an_orderly_way_on_the_device_counts_as_a_fault(counter):
    with supervised({"count": counter, "faults": {"2": "engine error"}}, twin=TWIN) as session:
        notes = check_stream(session, range(5))
    assert [note.recovered for note in notes] == [False, True, False, False, False]


def test_abort_while_idle_is_noticed_and_mended_in_the_background(counter):
    events = []
    with supervised({"count": counter, "faults": {"idle 1": "abort"}}, on_event=events.append) as session:
        notes = check_stream(session, [1])
        assert wait_until(lambda: [event.kind for event in events] == ["lost", "back"])
        notes += check_stream(session, range(3))
    assert {note.device for note in notes} == {"usb:0"}
    # On a slow machine it may have died before, or during, the first picture.
    assert [note.recovered for note in notes] in ([False, True, False, False], [True, False, False, False])


# ---- opening and opening again


@pytest.mark.parametrize("way", ["abort", "segfault", "hang", "native hang"])
def test_a_crash_or_hang_at_the_first_opening_begins_on_the_twin(way, counter):
    with supervised(
        {"count": counter, "faults": {"open": [1, 1, way]}}, twin=TWIN, limits=quick(open_s=3.0)
    ) as session:
        notes = check_stream(session, [1])
        assert wait_until(lambda: session.trouble is None)
        assert check_stream(session, range(3))[-1].device == "usb:0"
    assert notes[0].recovered


def test_the_first_opening_has_time_for_the_trial_of_driver_and_runtime(counter):
    events = []
    with supervised({"count": counter, "faults": {"open": [1, 1, "slow"]}}, limits=quick(open_s=1.0, trial_s=30.0),
                    on_event=events.append) as session:
        assert check_stream(session, range(3))[0].device == "usb:0"
    assert not events


@pytest.mark.parametrize("way", ["abort", "hang"])
def test_a_crash_or_hang_at_the_first_opening_is_tried_again_without_a_twin(way, counter):
    with supervised({"count": counter, "faults": {"open": [1, 2, way]}}, limits=quick(open_s=2.0)) as session:
        assert check_stream(session, range(3))[0].device == "usb:0"


@pytest.mark.parametrize("way, error", [("abort", DeviceLost), ("hang", DeadlineExceeded)])
def test_a_crash_or_hang_at_the_first_opening_raises_where_that_is_asked_for(way, error, counter):
    with pytest.raises(error):
        supervised(
            {"count": counter, "faults": {"open": [1, 1, way]}},
            twin=TWIN,
            on_device_loss="raise",
            limits=quick(open_s=1.0 if way == "hang" else 30.0),
        )


@pytest.mark.parametrize("way, error", [("busy", DeviceError), ("model error", ModelError)])
def test_what_opening_raises_in_an_orderly_way_is_raised_here(way, error, counter):
    with pytest.raises(error) as caught:
        supervised({"count": counter, "faults": {"open": [1, 9, way]}}, twin=TWIN)
    if way == "busy":
        assert (caught.value.cause, caught.value.evidence) == ("busy", "claimed")


@pytest.mark.parametrize("way", ["busy", "abort", "hang"])
def test_the_twin_bridges_a_device_that_does_not_reopen_at_once(way, counter):
    with supervised(
        {"count": counter, "faults": {"2": "abort", "open": [2, 2 if way == "hang" else 4, way]}},
        twin=TWIN,
        limits=quick(open_s=5.0 if way == "hang" else 30.0),
    ) as session:
        notes = check_stream(session, range(20))
        assert [note.device for note in notes] == ["usb:0"] + ["cpu"] * 19
        assert "is away" in notes[5].reason
        assert wait_until(lambda: session.trouble is None)
        assert check_stream(session, range(3))[-1].device == "usb:0"


def test_a_device_that_returns_under_another_name(counter):
    """The driver counts devices anew at each opening."""
    with supervised({"count": counter, "faults": {"2": "abort"}, "device": "usb:0"}) as session:
        check_stream(session, range(4))
        assert session.device == "usb:0"


def test_without_a_twin_waiting_is_bounded_and_each_picture_gets_its_error(counter):
    with supervised(
        {"count": counter, "faults": {"2": "abort", "open": [2, 10**6, "busy"]}}, limits=quick(patience_s=0.5)
    ) as session:
        check_stream(session, [1])
        for value in (2, 3, 4):
            with pytest.raises(DeviceError, match="tried again in the background; a CPU twin"):
                session.run(worker_factories.picture(value))


def test_three_failures_in_a_minute_earn_a_rest_and_say_why(counter, caplog):
    events = []
    with caplog.at_level(logging.INFO, "coral_classify"):
        with supervised(
            {"count": counter, "faults": {str(run): "abort" for run in range(2, 200)}},
            twin=TWIN,
            health=DeviceHealth(first_pause_s=0.01, longest_pause_s=0.02),
            on_event=events.append,
        ) as session:
            notes = check_stream(session, range(3))
            assert wait_until(lambda: events and events[-1].kind == "rested")
            notes += check_stream(session, range(20))
    assert [note.device for note in notes[1:]] == ["cpu"] * 22
    for hint in ("power", "cable", "coral-classify doctor"):
        assert hint in events[-1].message
    assert len(open(counter).read().split("open\n")) - 1 == 3
    assert sum("rests for 300 s" in record.message for record in caplog.records) == 1


def test_an_event_handler_that_fails_does_no_harm(counter):
    def broken(event):
        raise RuntimeError("no")

    with supervised({"count": counter, "faults": {"2": "abort"}}, twin=TWIN, on_event=broken) as session:
        check_stream(session, range(5))


def test_an_event_handler_may_close_the_session(counter):
    sessions = []
    with supervised(
        {"count": counter, "faults": {"idle 1": "abort"}}, on_event=lambda event: sessions[0].close()
    ) as session:
        sessions.append(session)
        assert wait_until(lambda: session.closed)


def test_a_twin_of_another_network_is_refused(counter):
    with supervised(
        {"count": counter, "faults": {"2": "abort", "open": [2, 9, "busy"]}},
        twin={"device": "cpu", "size": 16},
    ) as session:
        check_stream(session, [1])
        with pytest.raises(ModelError, match="must come from one network"):
            session.run(worker_factories.picture(2))


def test_a_twin_that_crashes_is_started_anew(counter, tmp_path):
    twin = {"device": "cpu", "count": str(tmp_path / "twin"), "faults": {"2": "segfault", "9": "abort"}}
    with supervised(
        {"count": counter, "faults": {"2": "abort", "open": [2, 10**6, "busy"]}}, twin=twin
    ) as session:
        notes = check_stream(session, range(20))
    assert [i for i, note in enumerate(notes) if note.recovered] == [
        1,
        2,
        8,
    ]  # run 3 repeats the third picture


def test_the_twins_worker_ends_when_the_device_is_back(counter):
    with supervised({"count": counter, "faults": {"2": "abort"}}, twin=TWIN) as session:
        check_stream(session, range(2))
        assert wait_until(lambda: session.trouble is None)
        check_stream(session, range(2))
        assert wait_until(lambda: len(children_of(os.getpid())) == 1)


# ---- several sessions on one device


def test_two_sessions_on_one_device_live_in_one_process():
    """The driver shares a device within one process only."""
    with supervised({"device": "usb:0"}) as first:
        with supervised({"device": "usb:0", "salt": 5}) as second, supervised({"device": "usb:1"}) as third:
            assert len(children_of(os.getpid())) == 2
            check_stream(first, range(20))
            check_stream(second, range(20))
            check_stream(third, range(20))
            assert second.run(worker_factories.picture(1))[0, 2] == 5
        assert len(children_of(os.getpid())) == 1
        assert not any(note.recovered for note in check_stream(first, range(20)))


@pytest.mark.parametrize(
    "one, other", [("auto", "usb:0"), ("usb:0", "auto"), ("usb", "usb:0"), ("usb:0", ":0")]
)
def test_a_device_has_one_process_under_whatever_name_it_was_asked_for(one, other):
    description = {"device": "usb:0"}  # as the driver opens it
    with supervised(description, device=one) as first, supervised(description, device=other) as second:
        assert len(children_of(os.getpid())) == 1
        check_stream(first, range(3))
        check_stream(second, range(3))
        assert (first.device, second.device) == ("usb:0", "usb:0")


def test_sessions_in_one_process_recover_together(counter):
    faulty = {"count": counter, "faults": {"5": "abort"}}
    with supervised(faulty, twin=TWIN) as first, supervised({}) as second:
        assert [note.recovered for note in check_stream(first, range(6))] == [False] * 4 + [True, False]
        assert [note.recovered for note in check_stream(second, range(3))] == [True, False, False]
        assert wait_until(lambda: first.trouble is None and second.trouble is None)
        check_stream(first, range(5))
        check_stream(second, range(5))
        assert wait_until(lambda: len(children_of(os.getpid())) == 1)


def test_a_session_that_does_not_open_leaves_its_neighbour_alone(counter):
    with supervised({}) as first:
        with pytest.raises(ModelError):
            supervised({"count": counter, "faults": {"open": [1, 9, "model error"]}})
        assert not any(note.recovered for note in check_stream(first, range(20)))


# ---- the CPU under the same protection


@pytest.mark.parametrize("way", DEADLY)
def test_the_cpu_is_protected_too(way, counter):
    with supervised(
        {"device": "cpu", "count": counter, "faults": {"5": way}}, limits=quick(run_s=1.0, first_s=1.0)
    ) as session:
        notes = check_stream(session, range(20))
    assert [i for i, note in enumerate(notes) if note.recovered] == [4]
    assert {note.device for note in notes} == {"cpu"}


def test_an_engine_that_refuses_on_the_cpu_is_believed(counter):
    with supervised(
        {"device": "cpu", "count": counter, "faults": {"2": "engine error", "3": "value error"}}
    ) as session:
        check_stream(session, [1])
        children = set(children_of(os.getpid()))
        with pytest.raises(EngineError, match="^invoke failed$"):
            session.run(worker_factories.picture(2))
        with pytest.raises(EngineError, match="ValueError: bad value"):
            session.run(worker_factories.picture(2))
        check_stream(session, [4])
        assert set(children_of(os.getpid())) <= children      # nobody new


def test_a_picture_that_always_crashes_the_cpu_engine_gets_an_error():
    with supervised({"device": "cpu", "faults": {"always": "segfault"}}) as session:
        with pytest.raises((EngineError, DeviceError), match="SIGSEGV"):
            session.run(worker_factories.picture(1))


# ---- kills


def test_kills_at_random_moments_lose_nothing():
    """While it works, while it is being opened, while the twin stands in."""
    with supervised({"sleep": 0.001}, twin=TWIN) as session:
        stop = threading.Event()
        kills = []

        def killer():
            while not stop.is_set() and len(kills) < KILLS:
                time.sleep(random.uniform(0, 0.4))
                living = children_of(os.getpid())
                if living:
                    pid = random.choice(living)
                    kills.append(pid)
                    with contextlib.suppress(ProcessLookupError):   # it ended by itself meanwhile: a twin, say
                        os.kill(pid, signal.SIGKILL)

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            value = 0
            while thread.is_alive():
                check_stream(session, [value % 65536])
                value += 1
        finally:
            stop.set()
            thread.join()
        check_stream(session, range(100))
        assert wait_until(lambda: session.trouble is None)


# ---- what cannot work says so


def test_a_frozen_application_is_told(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(UsageError, match="frozen application.*supervised=False"):
        supervised({})


def test_an_embedding_program_is_not_started_as_python(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    with pytest.raises(UsageError, match="uwsgi"):
        supervised({})


def test_an_interpreter_can_be_named(monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_PYTHON", sys.executable)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with supervised({}) as session:
        check_stream(session, range(3))


def test_an_interpreter_that_does_not_exist_is_an_error_and_no_hang(monkeypatch, tmp_path):
    monkeypatch.setenv("CORAL_CLASSIFY_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(DeviceError, match="cannot start a worker process"):
        supervised({})


def test_windows_is_told(monkeypatch):
    from coral_classify import processes

    class System:
        name = "nt"

    monkeypatch.setattr(processes, "os", System)
    with pytest.raises(UsageError, match="POSIX"):
        processes.interpreter()


@pytest.mark.parametrize(
    "wrong",
    [{"on_device_loss": "panic"}, {"deadline_ms": 0}, {"deadline_ms": float("nan")}, {"deadline_ms": -1.0}],
)
def test_wrong_values_are_usage_errors(wrong):
    with pytest.raises(UsageError):
        SupervisedSession({}, factory="worker_factories:numbered", **wrong)


def test_an_edge_tpu_is_supervised_unless_told_otherwise_and_the_cpu_is_not():
    assert [decide(None, device) for device in ("usb:0", "auto", "cpu")] == [True, True, False]
    assert [decide(True, "cpu"), decide(False, "usb:0")] == [True, False]


def test_where_it_cannot_work_the_default_gives_way_and_the_wish_does_not(monkeypatch, caplog):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert decide(None, "usb:0") is False
    assert "unsupervised" in caplog.text and "frozen" in caplog.text
    assert decide(False, "usb:0") is False
    with pytest.raises(UsageError):
        decide(True, "usb:0")


# ---- close while something else goes on


def test_close_ends_a_run_that_waits_for_the_device(counter):
    session = supervised({"count": counter, "faults": {"1": "abort", "open": [2, 10**6, "busy"]}})
    caught = []

    def work():
        try:
            session.run(worker_factories.picture(1))
        except Exception as exc:
            caught.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    assert wait_until(lambda: session.trouble is not None)
    session.close()
    thread.join(20.0)
    assert [type(exc) for exc in caught] == [SessionClosed]


def test_close_while_the_device_is_being_reopened_and_hangs(counter):
    session = supervised({"count": counter, "faults": {"1": "abort", "open": [2, 10**6, "hang"]}}, twin=TWIN)
    check_stream(session, range(3))
    begin = time.monotonic()
    session.close()
    assert time.monotonic() - begin < 15.0


def test_memory_descriptors_and_processes_do_not_grow_over_many_recoveries(counter):
    with supervised(
        {"count": counter, "faults": {str(run): "abort" for run in range(10, 400, 20)}},
        twin=TWIN,
        health=never_resting(),
    ) as session:
        check_stream(session, range(5))
        start = descriptors()
        for value in range(100):
            check_stream(session, [value])
            if session.trouble is not None and value % 2:
                wait_until(lambda: session.trouble is None)
        # The twin's worker goes with the next picture that the device answers.
        assert wait_until(
            lambda: check_stream(session, [1])[0].device == "usb:0" and descriptors() <= start, 10.0
        )


# ---- a device that opens late, or is not there at the start


def test_a_device_that_opens_late_takes_over_from_its_twin(counter, tmp_path):
    gate, events = tmp_path / "gate", []
    with supervised({"count": counter, "gate": str(gate)}, twin=TWIN, grace_s=0.0, on_event=events.append,
                    limits=quick(notice_s=0.0)) as session:
        (early,) = check_stream(session, [1])
        assert early == ("cpu", False, "usb:0 is being opened, and the CPU answers meanwhile")
        assert session.reason == early.reason and session.device == "cpu"
        gate.touch()
        assert wait_until(lambda: session.reason is None)
        (late,) = check_stream(session, [2])
        assert late == ("usb:0", False, None) and session.device == "usb:0"
    assert [event.kind for event in events] == ["opening", "open"]
    assert events[0].message == "opening usb:0; this takes 30 s at most; the CPU answers meanwhile"
    assert events[1].message.startswith("usb:0 is open after ")


def test_a_device_that_opens_in_time_answers_the_first_picture(counter):
    with supervised({"count": counter}, twin=TWIN, grace_s=60.0) as session:
        assert check_stream(session, [1]) == [("usb:0", False, None)]


def test_a_device_that_is_refused_at_first_is_tried_again_in_the_background(counter):
    events = []
    with supervised({"count": counter, "faults": {"open": [1, 3, "busy"]}}, twin=TWIN, grace_s=60.0,
                    on_event=events.append) as session:
        (early,) = check_stream(session, [1])
        assert early.device == "usb:0" or early.reason.startswith("no Edge TPU could be used: usb:0 is busy")
        assert wait_until(lambda: session.reason is None)
        assert check_stream(session, [2])[0].device == "usb:0"
    assert [event.kind for event in events] == ["absent", "open"]
    assert events[0].message.startswith("going on on the CPU, and looking for usb:0 in the background: usb:0 is busy")


def test_what_another_try_cannot_mend_is_told_at_once(counter):
    with pytest.raises(ModelError, match="is no model"):
        supervised({"count": counter, "faults": {"open": [1, 9, "model error"]}}, twin=TWIN, grace_s=60.0)


def test_a_device_that_is_not_listed_is_opened_as_soon_as_it_appears(counter):
    plugged = threading.Event()
    health = DeviceHealth(first_pause_s=1e6, longest_pause_s=1e6)     # no other way leads to an opening
    with supervised({"count": counter, "faults": {"open": [1, 2, "busy"]}}, twin=TWIN, grace_s=60.0, health=health,
                    is_listed=plugged.is_set) as session:
        assert check_stream(session, [1])[0].device == "cpu"
        assert wait_until(lambda: health.wait_s(time.monotonic()) > 1000.0)     # both tries have failed
        plugged.set()
        assert wait_until(lambda: session.reason is None)
        assert check_stream(session, [2])[0].device == "usb:0"


@pytest.mark.parametrize("way", ["abort", "segfault"])
def test_a_model_that_crashes_its_process_twice_at_opening_is_refused_by_name(counter, way):
    description = {"count": counter, "device": "cpu", "model": "odd.tflite", "faults": {"open": [1, 99, way]}}
    with pytest.raises(ModelError, match=r"odd\.tflite: crashed the process that opened it, twice"):
        supervised(description, device="cpu", health=None)
    with open(counter) as file:
        assert file.read().split().count("open") == 2
