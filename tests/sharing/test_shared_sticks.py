"""Several accelerators behind one owner: clients are spread, sticks come and go; and what others are told of it."""
from __future__ import annotations

import contextlib
import os
import signal

import pytest
from sharing_tools import RED, is_red, machine, models, running_owner
from worker_tools import children_of, wait_until

from coral_classify import Classifier
from coral_classify.cli import main
from coral_classify.sharing.places import Places
from coral_classify.sharing.strikes import Strikes
from coral_classify.supervision import ask_status

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")
ONE, OTHER = "usb@/sys/bus/usb/devices/2-1", "usb@/sys/bus/usb/devices/4-2"


@pytest.fixture
def board(any_engine, monkeypatch):
    with machine(monkeypatch, "%s,%s" % (ONE, OTHER)) as driver:
        yield driver


def used():
    """How many clients each stick has, by its path."""
    return {device["path"]: sum(model["users"] for model in device["models"]) for device in ask_status()["devices"]}


@contextlib.contextmanager
def clients(pair, count):
    with contextlib.ExitStack() as closing:
        yield [closing.enter_context(Classifier(pair, device="shared")) for _ in range(count)]


def test_clients_are_spread_over_all_sticks(board, pair):
    with running_owner(), clients(pair, 4) as four:
        assert {one.classify(RED).device for one in four} == {"usb:0", "usb:1"}
        assert used() == {"/sys/bus/usb/devices/2-1": 2, "/sys/bus/usb/devices/4-2": 2}
        assert len(models()) == 2


def test_a_stick_that_is_plugged_in_later_is_taken_up(board, pair):
    board.attach(ONE)
    with running_owner(), clients(pair, 4) as four:
        assert {one.classify(RED).device for one in four} == {"usb:0"}
        board.attach("%s,%s" % (ONE, OTHER))
        assert wait_until(lambda: len(used()) == 2)
        assert wait_until(lambda: all(is_red(one.classify(RED)) for one in four)
                          and used() == {"/sys/bus/usb/devices/2-1": 2, "/sys/bus/usb/devices/4-2": 2})
        assert {one.classify(RED).device for one in four} == {"usb:0", "usb:1"}


def test_a_stick_that_is_pulled_out_is_left_and_no_picture_is_lost(board, pair):
    with running_owner() as owner, clients(pair, 4) as four:
        assert {one.classify(RED).device for one in four} == {"usb:0", "usb:1"}
        board.attach(OTHER)     # which has another name from now on
        for pid in children_of(owner.pid):      # as the driver does when its stick is pulled out; the other's goes, too
            os.kill(pid, signal.SIGABRT)
        assert all(is_red(one.classify(RED)) for one in four)
        assert wait_until(lambda: used() == {"/sys/bus/usb/devices/4-2": 0} or
                          all(one.classify(RED) for one in four) and used() == {"/sys/bus/usb/devices/4-2": 4}, 60.0)
        assert {one.classify(RED).device for one in four} == {"usb:0"}


def test_a_stick_that_does_not_open_is_passed_over(board, pair):
    board.attach("%s,denied@/sys/bus/usb/devices/4-2" % ONE)
    with running_owner(), clients(pair, 4) as four:
        assert {one.classify(RED).device for one in four} == {"usb:0"}
        assert used() == {"/sys/bus/usb/devices/2-1": 4, "/sys/bus/usb/devices/4-2": 0}


def test_without_any_stick_the_twins_answer_until_one_is_back(board, pair):
    with running_owner(), clients(pair, 2) as two:
        assert all(is_red(one.classify(RED)) for one in two)
        board.pull()
        assert all(is_red(one.classify(RED)) for one in two)
        assert wait_until(lambda: two[0].classify(RED).device == "cpu")
        board.attach(OTHER)
        assert wait_until(lambda: {one.classify(RED).device for one in two} == {"usb:0"}, 60.0)


def test_a_stick_that_leaves_the_bus_for_a_moment_keeps_its_place(board):
    places = Places("auto", grace_s=1e9)
    before = places.all()
    board.attach(OTHER)
    places.look()
    assert places.choice("shared") == before, "and whoever is in it waits"
    board.attach("%s,%s" % (ONE, OTHER))
    places.look()
    assert places.choice("shared") == before


def test_a_stick_whose_name_has_changed_is_another_place(board):
    places = Places("auto", grace_s=0.0)
    before = places.all()
    board.attach(OTHER)
    places.look()
    places.look()
    assert [place.gone for place in before] == [True, True]
    assert [(place.name, place.device.path) for place in places.all()] == [("usb:0", OTHER[4:])]


@pytest.mark.parametrize("wish, names", [("shared", ["usb:0", "usb:1"]), ("usb", ["usb:0", "usb:1"]), ("pci", []),
                                         (":1", ["usb:1"]), ("usb:0", ["usb:0"]), ("usb:7", [])])
def test_a_wish_is_understood_as_the_driver_counts(board, wish, names):
    assert [place.name for place in Places("auto").choice(wish)] == names
    assert Places("usb:1").choice("usb:1")[0].name == "usb:1" and Places("usb:1").choice("usb:0") == []


def test_an_answer_clears_a_model_of_suspicion():
    strikes = Strikes()
    assert not strikes.crashed("a", 0.0)
    strikes.answered("a")
    assert not strikes.crashed("a", 1.0) and strikes.banned(1.0) == {}
    assert strikes.crashed("a", 2.0) and strikes.banned(3.0) == {"a": 59.0}


def test_status_is_for_people(board, pair, capsys):
    with running_owner(), clients(pair, 2) as two:
        for one in two:
            one.classify(RED)
        assert main(["share", "--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "faults survived: 0" in lines[0]
    assert lines[1].startswith("usb:0 ") and "/sys/bus/usb/devices/2-1" in lines[1]
    assert "model colours_edgetpu.tflite" in lines[2] and "1 program" in lines[2]
    assert lines[5].startswith("process %d " % os.getpid()) and "1 pictures" in lines[5] and " usb:" in lines[5]


def test_devices_and_doctor_know_the_owner(board, pair, capsys):
    with running_owner():
        assert main(["devices"]) == 0
        told = capsys.readouterr().out.splitlines()
        assert len(told) == 2 and all("shared  " in line and "share --status" in line for line in told)
        assert main(["doctor", "--model", str(pair)]) == 0
        told = capsys.readouterr().out
        assert "usb:0 is in use by the owner that shares it" in told and "classified on usb:" in told
        assert "busy" not in told
