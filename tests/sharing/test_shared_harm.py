"""Nobody harms anybody: kills at random moments, models that crash the driver, ends in the middle of a picture."""
from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import REPOSITORY
from sharing_tools import RED, is_red, machine, models, running_owner, start_owner
from worker_tools import MARK, children_of, marked, new_mark, wait_until

from coral_classify import Classifier
from coral_classify.errors import DeviceError
from coral_classify.sharing.clients import Client, Clients
from coral_classify.supervision import ask_status
from coral_classify.testing.small_models import colours

# The proof is ten minutes of it: python benchmarks/sharing.py --soak 600
KILLS = int(os.environ.get("CORAL_CLASSIFY_KILLS", "12"))

# Numbers its pictures, and puts the number into two of three colours: an answer tells which picture it is of.
NUMBERED = """
import sys
from coral_classify.supervision import SupervisedSession
model = sys.argv[1]
session = SupervisedSession.open(model, "shared", twin=model.replace("_edgetpu", ""))
(tensor,) = session.input_tensors(1)
number = 0
while True:
    tensor[...] = (number % 256, number // 256 % 256, 7)
    low, high, mark = session.run(tensor).ravel().tolist()
    print(number, low + 256 * high if mark == 7 else -1, session.answer.device, flush=True)
    number += 1
"""


class Numbered:
    """A client as a process, and what it has told so far."""

    def __init__(self, model):
        self.process = subprocess.Popen([sys.executable, "-c", NUMBERED, str(model)], stdout=subprocess.PIPE,
                                        env=dict(os.environ, PYTHONPATH=str(REPOSITORY)), universal_newlines=True)
        self.lines = []
        self._thread = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self._thread.start()

    def goes_on(self, count=3, device=""):
        """Whether it gets so many more answers, the last of them from *device*."""
        before = len(self.lines)
        return wait_until(lambda: len(self.lines) >= before + count and self.lines[-1].strip().endswith(device), 120.0)

    def end(self):
        """It is killed; each of its pictures was answered once, in its turn, with its own number."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        whole = [line.split()[:2] for line in self.lines if line.endswith("\n")]
        assert whole == [[str(number), str(number % 65536)] for number in range(len(whole))]
        return len(whole)


@pytest.fixture
def board(any_engine, monkeypatch):
    with machine(monkeypatch) as driver:
        yield driver


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_kills_at_random_leave_each_picture_answered_once_and_nothing_behind(board, pair, tmp_path, monkeypatch):
    mark, files = new_mark(), tmp_path / "temporary"
    files.mkdir()
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("TMPDIR", str(files))
    owner = start_owner()
    steady, victim = [Numbered(pair) for _ in range(2)], Numbered(pair)
    plan = ["owner", "client", "driver"] * (KILLS // 3)
    random.shuffle(plan)
    try:
        for what in plan:
            assert all(client.goes_on() for client in steady), what
            time.sleep(random.uniform(0.0, 0.02))       # anywhere within a picture
            if what == "owner":
                owner.kill()
                owner.wait()
                assert all(client.goes_on() for client in steady), "on their twins"
                owner = start_owner()
            elif what == "client":
                victim.end()
                victim = Numbered(pair)
            else:
                for pid in children_of(owner.pid):
                    os.kill(pid, signal.SIGKILL)
        assert all(client.goes_on(device="usb:0") for client in steady), "back on the accelerator"
        assert all(client.end() > 3 * len(plan) for client in steady)
        victim.end()
        assert wait_until(lambda: ask_status()["clients"] == [])
        assert ask_status()["not_run"] == {}, "no model is to blame"
        owner.terminate()
        assert owner.wait() == 0
        mine = {str(os.getpid())}
        assert wait_until(lambda: {str(pid) for pid in marked(mark)} <= mine), "processes"
        assert os.listdir(str(files)) == [], "temporary files"
        assert os.listdir(os.path.dirname(os.environ["CORAL_CLASSIFY_SOCKET"])) == [], "beside the socket"
        assert not [name for name in os.listdir("/dev/shm") if name.startswith("coral")], "memory"
    finally:
        for process in [owner] + [client.process for client in steady + [victim]]:
            process.kill()
            process.wait()


def test_a_model_that_crashes_the_driver_at_each_picture_harms_its_client_alone(board, pair, tmp_path, monkeypatch):
    bad = tmp_path / "bad_edgetpu.tflite"
    bad.write_bytes(colours(size=(9, 8), compiled=True))
    monkeypatch.setenv("SIM_POISON", "9")
    with running_owner(), Classifier(pair, device="shared") as good:
        assert is_red(good.classify(RED))
        answers = []
        over = threading.Event()

        def go_on():
            while not over.is_set():
                answers.append(good.classify(RED))
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            for _ in range(3):
                with pytest.raises(DeviceError, match="not tried again for"):
                    with Classifier(bad, device="shared", on_device_loss="raise") as harmful:
                        harmful.classify(RED)
        finally:
            over.set()
            thread.join()
        assert all(is_red(answer) for answer in answers)
        assert wait_until(lambda: good.classify(RED).device == "usb:0")
        told = ask_status()
        assert told["faults_survived"] <= 2, "as many as it takes to know it"
        assert len(told["not_run"]) == 1 and [model["name"] for model in models()] == [pair.name]


def test_a_ban_is_of_the_content_whoever_brings_it_and_under_whatever_name(board, pair, tmp_path, monkeypatch):
    bad, again = tmp_path / "bad_edgetpu.tflite", tmp_path / "other.tflite"
    bad.write_bytes(colours(size=(9, 8), compiled=True))
    again.write_bytes(bad.read_bytes())
    monkeypatch.setenv("SIM_POISON", "9")
    with running_owner():
        with pytest.raises(DeviceError, match="not tried again"):
            with Classifier(bad, device="shared", on_device_loss="raise") as harmful:
                harmful.classify(RED)
        begun = board.inferences
        with pytest.raises(DeviceError, match="not tried again"):
            Classifier(again, device="shared")
        assert board.inferences == begun


def test_a_picture_in_hand_is_answered_before_it_ends(any_engine, pair, monkeypatch):
    with machine(monkeypatch, invoke_ms=400.0) as board, running_owner() as owner:
        with Classifier(pair, device="shared", on_device_loss="raise") as one:
            one.classify(RED)
            before, results = board.inferences, []
            thread = threading.Thread(target=lambda: results.append(one.classify(RED)))
            thread.start()
            assert wait_until(lambda: board.inferences > before)
            owner.terminate()
            thread.join()
            assert is_red(results[0]) and results[0].device == "usb:0"
        assert owner.wait() == 0


def test_it_ends_though_the_device_hangs(any_engine, pair, monkeypatch):
    with machine(monkeypatch, faults="hang:2") as board, running_owner() as owner:
        with Classifier(pair, device="shared") as one:
            one.classify(RED)
            results = []
            thread = threading.Thread(target=lambda: results.append(one.classify(RED)))
            thread.start()
            assert wait_until(lambda: board.inferences == 2)
            owner.terminate()
            assert owner.wait(60) == 0
            thread.join()
            assert is_red(results[0]) and results[0].device == "cpu"


class End:
    """A socket that only notes that it was hung up."""

    def __init__(self, uid):
        self.uid, self.hung_up = uid, False

    def getsockopt(self, *wanted):
        return np.array([1, self.uid, 0], np.int32).tobytes()

    def shutdown(self, how):
        self.hung_up = True

    def close(self):
        pass


def test_the_silent_ones_of_one_user_do_not_push_out_another_users():
    clients, ends = Clients(8), [End(uid) for uid in [7] + [5] * 80]
    for end in ends:
        clients.came(Client(end))
    assert [end.hung_up for end in ends] == [False] + [True] * 17 + [False] * 63


def test_places_and_memory_are_bounded_for_each_user():
    clients = Clients(8)
    mine, others = [Client(End(5)) for _ in range(3)], [Client(End(uid)) for uid in (6, 6, 7, 7, 8, 8)]
    for client in mine[:2]:
        clients.let_in(client)
    with pytest.raises(DeviceError, match="user 5 has 2 connections"):
        clients.let_in(mine[2])
    assert all(clients.reserve(one, model=300 << 20, digest="a") for one in mine[:2])
    assert clients.reserve(mine[0], tensors=700 << 20), "one model for both"
    assert not clients.reserve(mine[1], tensors=100 << 20)
    for client in others:
        clients.let_in(client)
        assert clients.reserve(client, tensors=100 << 20)
    with pytest.raises(DeviceError, match="8 clients are here already"):
        clients.let_in(Client(End(9)))
    clients.gone(mine[0])
    clients.let_in(Client(End(9)))
    assert clients.reserve(mine[1], tensors=100 << 20)
