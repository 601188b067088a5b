"""``device="http://board"`` and our own server, as a program of its own."""
from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY, heavy
from worker_tools import wait_until

from coral_classify import Classifier, DeviceError

GREEN = np.zeros((8, 8, 3), np.uint8) + np.array([10, 200, 30], np.uint8)
TOKEN = "one-that-nobody-guesses"


@pytest.fixture
def serve(model, any_engine):
    """``coral-classify serve`` with a token; returns its process and its address."""
    for part in ("starlette", "uvicorn"):
        heavy(part)
    started = []

    def start(port=0):
        process = subprocess.Popen(
            [sys.executable, "-m", "coral_classify", "serve", "--model", str(model), "--device", "cpu", "--listen",
             "127.0.0.1:%d" % port], stderr=subprocess.PIPE, universal_newlines=True, cwd=str(REPOSITORY),
            env=dict(os.environ, CORAL_CLASSIFY_TOKEN=TOKEN))
        started.append(process)
        for line in process.stderr:
            if line.startswith("serving "):
                return process, line.split(" at ")[1].strip().rstrip("/")
        pytest.fail("serve does not start")
    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_our_own_server_is_a_board(serve, model, monkeypatch):
    process, url = serve()
    with pytest.raises(DeviceError, match="401"):
        Classifier(model, device=url)
    monkeypatch.setenv("CORAL_CLASSIFY_TOKEN", TOKEN)
    with Classifier(model, device="cpu") as local, Classifier(model, device=url) as remote:
        assert remote.classify(GREEN).predictions == local.classify(GREEN).predictions
        results = list(remote.stream([GREEN] * 50))
        assert [result.device for result in results] == [url] * 50
        assert all(result.predictions[0].label == "green" for result in results)
        process.kill()
        process.wait()
        assert remote.classify(GREEN).device == "cpu"
        serve(int(url.rpartition(":")[2]))
        assert wait_until(lambda: remote.classify(GREEN).device == url)
