"""The policy against random schedules of faults, with keepers in memory: no processes, no waiting."""

from __future__ import annotations

import numpy as np
import pytest
import worker_factories
from hypothesis import given
from hypothesis import strategies as st

from coral_classify.errors import DeadlineExceeded, DeviceError, DeviceLost, EngineError
from coral_classify.supervision import supervised, twin
from coral_classify.supervision.childprocess import ChildDied, ChildHung
from coral_classify.types import Quantization, TensorSpec

INPUT = TensorSpec((1, 8, 8, 3), np.dtype(np.uint8), Quantization(1 / 128, 128))
OUTPUT = TensorSpec((1, 4), np.dtype(np.uint8), Quantization(1 / 256, 0))
FINE, DIES, HANGS, REFUSES = "fine", "dies", "hangs", "refuses"


class MemoryChild:
    def __init__(self, keeper):
        self.keeper, self.device, self.inputs, self.outputs = keeper, keeper.name, (INPUT,), (OUTPUT,)
        self.requests, self.proven, self.lost = 0, False, False

    def request(self, tensors, timeout_s, then=None, into=None):
        assert not self.lost, "a child that was reported is asked again"
        self.requests += 1
        what = next(self.keeper.runs, FINE)
        if what == DIES:
            raise ChildDied()
        if what == HANGS:
            raise ChildHung()
        if what == REFUSES:
            raise EngineError("invoke failed")
        (tensor,) = tensors
        self.keeper.answered.append(worker_factories.number(tensor))
        return (worker_factories.answer_to(worker_factories.number(tensor)),)


class MemoryKeeper:
    """A keeper whose device is away for so many pictures after each loss as its schedule says."""

    made = []

    def __init__(self, name, order, *, health, limits, tell, is_listed=None, insist=False):
        self.opened_once = True
        self.name, self.losses, self.trouble, self.away_since, self.ended = name, 0, None, 0.0, False
        self.runs, self.absences = iter(order["description"]["runs"]), iter(order["description"]["absences"])
        self.answered, self.announced, self.stopped, self.away_for = [], [], False, 0
        self.current = MemoryChild(self)
        self.made.append(self)

    @property
    def child(self):
        if self.away_for:
            self.away_for -= 1
            return None
        if self.current is None:
            self.current, self.trouble = MemoryChild(self), None
        return self.current

    @property
    def gone(self):
        return self.stopped

    def wait_until_settled(self, timeout_s=None):
        return True

    def why_away(self):
        return self.trouble

    def wait_for_child(self, until, give_up):
        waited, self.away_for = self.away_for, 0
        if waited > 3:  # longer than the patience
            self.away_for = waited - 3
            return None
        return self.child

    def fault(self, child, accusation):
        assert child is self.current
        child.lost, self.current = True, None
        self.losses += 1
        self.away_for = next(self.absences, 0)
        self.trouble = accusation or DeviceLost("aborted", cause="crashed")
        return self.trouble

    def announce(self, kind, message):
        self.announced.append(kind)

    def stop(self, wait=True):
        self.stopped = True


SCHEDULE = st.lists(st.sampled_from([FINE] * 4 + [DIES, HANGS, REFUSES]), max_size=40)
TWIN_SCHEDULE = st.lists(st.sampled_from([FINE] * 8 + [DIES, HANGS]), max_size=40)
ABSENCES = st.lists(st.integers(0, 8), max_size=20)


def never_thrice(schedule):
    """The schedule without three faults in a row: those are allowed to cost a picture."""
    kept = []
    for what in schedule:
        if what != FINE and [w for w in kept[-2:] if w != FINE] == kept[-2:] and len(kept) >= 2:
            what = FINE
        kept.append(what)
    return kept


def open_session(runs, absences, twin_runs, policy, device="usb:0"):
    MemoryKeeper.made = []
    twin = {"runs": twin_runs, "absences": []} if twin_runs is not None else None
    return supervised.SupervisedSession(
        {"runs": runs, "absences": absences}, twin=twin, device=device, on_device_loss=policy
    )


@pytest.fixture(autouse=True, scope="module")
def memory_keepers():
    original, supervised.Keeper, twin.Keeper = supervised.Keeper, MemoryKeeper, MemoryKeeper
    yield
    supervised.Keeper = twin.Keeper = original


@given(SCHEDULE, ABSENCES, TWIN_SCHEDULE)
def test_with_a_twin_every_picture_is_answered_once_and_rightly(runs, absences, twin_runs):
    session = open_session(runs, absences, never_thrice(twin_runs), "cpu")
    keeper = session._keeper
    recovered = losses = 0
    for value in range(60):
        losses_before = keeper.losses
        assert (
            session.run(worker_factories.picture(value)).tolist()
            == worker_factories.answer_to(value).tolist()
        )
        assert session.answer.device == session.device
        assert (session.answer.reason is None) == (session.answer.device == "usb:0")
        if keeper.losses != losses_before:
            losses += 1
            assert session.answer.recovered
        recovered += session.answer.recovered
    answered = [value for made in MemoryKeeper.made for value in made.answered]
    assert sorted(answered) == list(range(60))  # each exactly once, over device and all twins
    assert all(made.answered == sorted(made.answered) for made in MemoryKeeper.made)
    session.close()
    assert all(made.stopped for made in MemoryKeeper.made)


@given(SCHEDULE, ABSENCES)
def test_without_a_twin_a_picture_is_answered_rightly_or_fails_with_a_reason(runs, absences):
    session = open_session(runs, absences, None, "retry")
    keeper = session._keeper
    answered = []
    for value in range(60):
        losses = keeper.losses
        try:
            output = session.run(worker_factories.picture(value))
        except (DeviceError, EngineError):
            # Three workers died of it, or the device stayed away beyond the patience.
            assert keeper.losses - losses == 3 or keeper.current is None
            continue
        assert output.tolist() == worker_factories.answer_to(value).tolist()
        answered.append(value)
    assert keeper.answered == answered


@given(SCHEDULE, ABSENCES)
def test_with_raise_each_fault_costs_exactly_its_picture(runs, absences):
    session = open_session(runs, absences, [], "raise")
    keeper = session._keeper
    for value in range(60):
        losses, away = keeper.losses, keeper.away_for > 0
        try:
            session.run(worker_factories.picture(value))
        except (DeviceLost, DeadlineExceeded, EngineError):
            assert keeper.losses == losses + (not away)
        else:
            assert keeper.losses == losses and not away
    assert len(MemoryKeeper.made) == 1


@given(st.lists(st.sampled_from([FINE] * 4 + [DIES, HANGS]), max_size=40))
def test_on_the_cpu_two_faults_in_a_row_are_survived(runs):
    session = open_session(never_thrice(runs), [], None, "cpu", device="cpu")
    for value in range(60):
        session.run(worker_factories.picture(value))
    assert session._keeper.answered == list(range(60))
