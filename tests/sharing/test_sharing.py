"""One accelerator for several programs: the owner as a process of its own, on the simulated driver."""
from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from conftest import REPOSITORY
from sharing_tools import RED, is_red, machine, models, running_owner, start_owner
from worker_tools import wait_until

from coral_classify import Classifier, Pool
from coral_classify.errors import DeviceError, SessionClosed
from coral_classify.sharing.turns import Turns
from coral_classify.supervision import ask_status
from coral_classify.testing import write_pair


@pytest.fixture
def board(any_engine, monkeypatch):
    with machine(monkeypatch) as driver:
        yield driver


@pytest.fixture
def owner(board):
    with running_owner() as process:
        yield process


def test_two_sessions_use_one_accelerator_and_one_loaded_model(owner, board, pair):
    with Classifier(pair, device="shared") as one, Classifier(pair, device="shared") as two:
        results = [each.classify(RED) for each in (one, two, one, two)]
        assert all(is_red(result) and result.device == "usb:0" for result in results)
        told = ask_status()
        assert len(models()) == 1 and len(told["clients"]) == 2
        assert sum(client["answers"] for client in told["clients"]) == 4
    assert board.openings == 1


def test_auto_finds_the_owner(owner, board, pair):
    with Classifier(pair) as one:
        assert is_red(one.classify(RED)) and "shares" in one.device_reason
    assert len(models()) == 1


def test_streams_and_pools_go_through_it(owner, pair):
    with Classifier(pair, device="shared") as one:
        assert all(is_red(result) and result.error is None for result in one.stream([RED] * 50))
    with Pool(pair, devices=["shared", "shared"]) as pool:
        assert len([result for result in pool.stream([RED] * 50) if is_red(result)]) == 50


def test_without_an_owner_it_says_how_to_start_one(board, pair):
    with pytest.raises(DeviceError, match="coral-classify share"):
        Classifier(pair, device="shared")


@pytest.mark.parametrize("devices, there", [("busy", True), ("busy", False), ("denied", True)])
def test_a_device_that_the_owner_has_is_said_to_be_shared(devices, there, any_engine, monkeypatch, pair):
    with machine(monkeypatch, devices):
        with socket.socket(socket.AF_UNIX) as owner:
            if there:
                owner.bind(os.environ["CORAL_CLASSIFY_SOCKET"])
            with pytest.raises(DeviceError) as caught:
                Classifier(pair, device="usb:0")
    assert ("--device shared" in str(caught.value)) == (devices == "busy" and there)


def test_a_killed_owner_is_stood_in_for_by_the_twin_until_another_comes(owner, board, pair):
    with Classifier(pair, device="shared") as one:
        assert one.classify(RED).device == "usb:0"
        owner.kill()
        owner.wait()
        result = one.classify(RED)
        assert is_red(result) and result.device == "cpu"
        another = start_owner()     # the socket of the dead one lies there still
        try:
            assert wait_until(lambda: one.classify(RED).device == "usb:0")
        finally:
            another.kill()
            another.wait()


def test_a_driver_that_aborts_is_survived_for_all(board, pair, monkeypatch):
    monkeypatch.setenv("SIM_FAULTS", "abort:3")
    process = start_owner()
    try:
        with Classifier(pair, device="shared") as one, Classifier(pair, device="shared") as two:
            assert all(is_red(each.classify(RED)) for each in (one, two, one, two))
            assert one.classify(RED).device == "usb:0"
        assert ask_status()["faults_survived"] == 1
    finally:
        process.kill()
        process.wait()


def test_two_owners_do_not_start(owner):
    second = start_owner()
    assert second.wait() != 0 and "another owner" in second.said


def test_it_ends_on_sigterm_and_leaves_no_socket(owner):
    owner.send_signal(signal.SIGTERM)
    assert owner.wait() == 0
    assert not os.path.exists(os.environ["CORAL_CLASSIFY_SOCKET"])


def greet(line, descriptor=None):
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.settimeout(30.0)
    end.connect(os.environ["CORAL_CLASSIFY_SOCKET"])
    rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    end.sendmsg([line], rights)
    return end


def frame(kind, number, payload):
    return kind.to_bytes(4, "little") + len(payload).to_bytes(4, "little") + number.to_bytes(8, "little") + payload


ORDER = {"factory": "coral_classify.engine:open_described", "description": {}, "prove": False}


def session_of(pair, order=ORDER):
    """A client that has greeted and given an order, and the answer to it."""
    with open(str(pair), "rb") as model:
        end = greet(b"coral-classify 1 session\n", model.fileno())
    end.sendall(frame(1, 0, json.dumps(order).encode()))
    answer = end.recv(16384)
    return end, answer if b"\n" not in answer or not answer.endswith(b"\n") else end.recv(16384)


def hung_up(end):
    try:
        while end.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


LAYOUT = json.dumps({"slots": 1, "specs": [{"shape": [1, 8, 8, 3], "dtype": "uint8", "scale": 1.0, "zero_point": 0}]})


def test_an_unknown_version_is_refused_in_words(owner):
    assert b"speaks version 1" in greet(b"coral-classify 2 session\n").recv(1000)


def test_whoever_harms_harms_himself_alone(owner, pair, tmp_path):
    with Classifier(pair, device="shared") as good:
        assert hung_up(greet(b"\xff\x00nonsense\n"))
        half = greet(b"coral-cl")
        folder = os.open(str(tmp_path), os.O_RDONLY)
        assert b"must be a file" in greet(b"coral-classify 1 session\n", folder).recv(1000)
        os.close(folder)
        reading, writing = os.pipe()
        assert b"must be a file" in greet(b"coral-classify 1 session\n", reading).recv(1000)
        os.close(reading)
        os.close(writing)
        end, answer = session_of(pair, dict(ORDER, factory="os:system"))
        assert b"classifiers and networks only" in answer
        end, _ = session_of(pair)
        end.sendall(b"\xff" * 64)
        assert hung_up(end)
        end, _ = session_of(pair)
        end.sendall(frame(5, 1, b"x" * 16))      # RUN on memory that nobody gave
        assert hung_up(end)
        broken = tmp_path / "broken.tflite"
        broken.write_bytes(b"no model")
        end, answer = session_of(broken)
        assert b"not compiled" in answer
        killed, _ = session_of(pair)
        killed.close()
        assert is_red(good.classify(RED))
        half.close()
    assert owner.poll() is None


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this Python makes no memfd for the test")
@pytest.mark.parametrize("fault", ["a file", "unsealed", "too small"])
def test_memory_that_could_shrink_is_refused(owner, pair, tmp_path, fault):
    import fcntl

    if fault == "a file":
        memory = os.open(str(tmp_path / "memory"), os.O_RDWR | os.O_CREAT)
        os.ftruncate(memory, 4096)
    else:
        memory = os.memfd_create("test", 3)
        os.ftruncate(memory, 4096 if fault == "unsealed" else 64)
        if fault == "too small":
            fcntl.fcntl(memory, 1033, 7)
    end, _ = session_of(pair)
    end.sendmsg([frame(3, 1, LAYOUT.encode())], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory]))])
    os.close(memory)
    assert hung_up(end)
    with Classifier(pair, device="shared") as good:
        assert is_red(good.classify(RED))


def test_turns_go_round_and_models_in_runs():
    turns, order = Turns(run_pictures=3, run_s=1e9), []

    def work(client, model):
        with turns.turn(client, model):
            order.append(model)

    with turns.turn("first", "a"):
        threads = []
        for client, model in enumerate("babaaa"):
            thread = threading.Thread(target=work, args=(client, model))
            thread.start()
            assert wait_until(lambda n=client: len(turns._waiting) == n + 1)
            threads.append(thread)
    for thread in threads:
        thread.join()
    assert order == ["a", "a", "b", "b", "a", "a"]


def test_connections_that_say_nothing_make_room_for_those_who_come(owner, pair):
    with Classifier(pair, device="shared") as good, contextlib.ExitStack() as closing:
        assert is_red(good.classify(RED))
        idle = []
        for _ in range(200):
            end = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            end.connect(os.environ["CORAL_CLASSIFY_SOCKET"])    # waits where the queue is full
            end.settimeout(30.0)
            idle.append(end)
        assert hung_up(idle[0]), "the oldest is thrown out"
        with Classifier(pair, device="shared") as late:
            assert is_red(late.classify(RED)) and late.classify(RED).device == "usb:0"
        assert good.classify(RED).device == "usb:0"


def test_one_user_cannot_take_every_place(owner, pair):
    with contextlib.ExitStack() as closing:
        for _ in range(64):
            closing.enter_context(session_of(pair)[0])
        with open(str(pair), "rb") as model:
            refused = closing.enter_context(greet(b"coral-classify 1 session\n", model.fileno()))
        assert b"has 64 connections here already" in refused.recv(1000)
        assert len(ask_status()["clients"]) == 64
    assert wait_until(lambda: ask_status()["clients"] == [])
    with Classifier(pair, device="shared") as good:
        assert is_red(good.classify(RED))


def test_a_model_that_is_too_large_is_refused_and_not_read(owner, tmp_path):
    with open(str(tmp_path / "huge_edgetpu.tflite"), "w+b") as huge:
        huge.truncate((256 << 20) + 1)      # a file with nothing in it takes no room
        with greet(b"coral-classify 1 session\n", huge.fileno()) as end:
            assert b"must be a file of 1 byte to 256 MB" in end.recv(1000)


def test_a_client_that_asks_for_no_supervision_is_told(owner, pair):
    with pytest.raises(DeviceError, match="always supervised"):
        Classifier(pair, device="shared", supervised=False)


def test_a_forked_client_harms_only_itself(owner, pair):
    with Classifier(pair, device="shared") as one:
        assert is_red(one.classify(RED))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                one.classify(RED)
            except SessionClosed:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert one.classify(RED).device == "usb:0"


def test_it_takes_a_socket_from_systemd(board, pair):
    path = os.environ["CORAL_CLASSIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(8)
        script = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\nos.environ.update(LISTEN_FDS='1', "
                  "LISTEN_PID=str(os.getpid()))\nos.execv(sys.executable, [sys.executable, '-m', 'coral_classify', "
                  "'share'])")
        process = subprocess.Popen([sys.executable, "-c", script, str(listener.fileno())],
                                   pass_fds=(listener.fileno(),), env=dict(os.environ, PYTHONPATH=str(REPOSITORY)))
    try:
        with Classifier(pair, device="shared") as one:
            assert one.classify(RED).device == "usb:0"
        process.terminate()
        assert process.wait() == 0
        assert os.path.exists(path)     # it is systemd's
    finally:
        process.kill()
        process.wait()


def test_the_least_recently_used_model_makes_room(board, tmp_path):
    process = start_owner("--models", "1")
    try:
        first = write_pair(tmp_path)
        second = tmp_path / "other_edgetpu.tflite"
        second.write_bytes(first.read_bytes() + bytes(16))
        with Classifier(first, device="shared") as one:
            assert is_red(one.classify(RED))
            with pytest.raises(DeviceError, match="no room"):
                Classifier(second, device="shared")

        def opens():
            try:
                Classifier(second, device="shared").close()
            except DeviceError:
                return False
            return True
        assert wait_until(opens)
        assert len(models()) == 1
    finally:
        process.kill()
        process.wait()


def test_a_model_that_crashes_the_driver_whenever_it_opens_is_refused_for_a_while(board, pair, monkeypatch):
    monkeypatch.setenv("SIM_FAULTS", "open-abort:*")
    process = start_owner()
    try:
        answers = [session_of(pair)[1] for _ in range(3)]
        assert b"DeviceLost" in answers[0] and b"not tried again" in answers[2]
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
