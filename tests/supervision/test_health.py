"""The pauses between attempts at a failing device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral_classify.supervision.health import DeviceHealth


def test_a_first_failure_is_tried_again_at_once():
    health = DeviceHealth()
    health.opened(0.0)
    assert health.failed(100.0) == (0.0, False)
    assert health.wait_s(100.0) == 0.0


def test_pauses_grow_while_the_device_is_absent_and_never_end_in_a_rest():
    health = DeviceHealth(first_pause_s=1, longest_pause_s=8)
    assert [health.absent(0.1 * i) for i in range(7)] == [
        (0.0, False),
        (1.0, False),
        (2.0, False),
        (4.0, False),
        (8.0, False),
        (8.0, False),
        (8.0, False),
    ]


def test_three_failures_within_a_minute_earn_a_rest():
    health = DeviceHealth(rest_s=300)
    assert [health.failed(now).rested for now in (0.0, 30.0, 60.0)] == [False, False, True]
    assert health.resting
    assert health.wait_s(61.0) == 299.0


def test_three_failures_over_more_than_a_minute_do_not():
    health = DeviceHealth()
    assert not any(health.failed(now).rested for now in (0.0, 31.0, 61.0, 92.0, 122.0))


def test_a_second_rest_lasts_longer_until_the_device_has_worked_for_a_while():
    health = DeviceHealth(rest_s=10, longest_rest_s=40)

    def rest_after(now):
        return [health.failed(now + i).pause_s for i in range(3)][-1]

    assert [rest_after(100.0 * i) for i in range(4)] == [10.0, 20.0, 40.0, 40.0]
    health.opened(1000.0)
    assert rest_after(1060.0) == 10.0


def test_a_device_that_worked_for_a_while_is_tried_at_once_again():
    health = DeviceHealth()
    for now in range(10):
        health.absent(float(now))
    health.opened(100.0)
    assert health.failed(101.0).pause_s > 1.0  # it worked for a second: the pauses go on growing
    health.opened(200.0)
    assert health.failed(260.0).pause_s == 0.0


def test_a_passing_fault_every_thousand_pictures_never_makes_it_wait():
    health = DeviceHealth()
    for fault in range(19):
        health.opened(5.0 * fault)
        assert health.failed(5.0 * fault + 4.0, answers=1000) == (0.0, False)


def test_one_that_fails_at_once_again_has_not_earned_it():
    health = DeviceHealth()
    health.opened(0.0)
    assert health.failed(1.0, answers=1000).pause_s == 0.0
    health.opened(2.0)
    assert health.failed(3.0, answers=99).pause_s == 1.0
    health.opened(5.0)
    assert health.failed(14.9, answers=3).rested


def test_one_that_was_plugged_in_is_opened_at_once_whatever_happened_before():
    health = DeviceHealth()
    for now in (0.0, 1.0, 2.0):
        health.failed(now)
    assert health.resting and health.wait_s(3.0) > 100.0
    health.appeared()
    assert not health.resting and health.wait_s(3.0) == 0.0
    assert health.absent(3.0).pause_s == 0.0


def test_without_a_rest_pauses_just_grow():
    health = DeviceHealth(rest_s=0)
    assert not any(health.failed(float(now)).rested for now in range(10))


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_pause_s": 0},
        {"first_pause_s": 2, "longest_pause_s": 1},
        {"failures": 0},
        {"window_s": 0},
        {"rest_s": -1},
        {"rest_s": 10, "longest_rest_s": 5},
    ],
)
def test_values_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValueError):
        DeviceHealth(**wrong)


EVENTS = st.lists(st.tuples(st.sampled_from(["failed", "absent", "opened"]), st.floats(0, 400)), max_size=80)


@given(EVENTS)
def test_whatever_happens_the_pauses_are_bounded_and_rests_are_earned(events):
    health = DeviceHealth()
    now, failures, opened = 0.0, [], None
    for what, later in events:
        now += later
        if what == "opened":
            health.opened(now)
            opened = now
            continue
        if opened is not None and now - opened >= 10.0:
            failures = []  # it has earned a fresh start
        opened = None
        decision = getattr(health, what)(now)
        assert health.wait_s(now) == pytest.approx(decision.pause_s)
        assert health.wait_s(now + decision.pause_s + 0.001) == 0.0
        assert health.resting == decision.rested
        if what == "absent":
            assert not decision.rested
        else:
            failures.append(now)
        # A model in plain words: a rest comes when three failures since the last rest lie within a minute.
        deserved = what == "failed" and len(failures) >= 3 and failures[-1] - failures[-3] <= 60.0
        assert decision.rested == deserved
        if decision.rested:
            failures = []
            assert 300.0 <= decision.pause_s <= 3600.0
        else:
            assert 0.0 <= decision.pause_s <= 30.0


@given(st.integers(1, 2000))
def test_very_many_failures_do_not_overflow(times):
    health = DeviceHealth(rest_s=0)
    for now in range(times):
        decision = health.failed(float(now))
    assert decision.pause_s <= 30.0
