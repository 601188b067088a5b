"""What the tests of sharing have in common: a machine with simulated accelerators, owners as real processes."""
from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading

import numpy as np
from conftest import REPOSITORY

from coral_classify.supervision import ask_status
from coral_classify.testing import SimulatedDriver

RED = np.zeros((8, 8, 3), np.uint8) + np.array([200, 30, 10], np.uint8)


@contextlib.contextmanager
def machine(monkeypatch, devices="usb", **more):
    """A simulated driver, and a place for an owner's socket; the place is empty again at the end."""
    folder = tempfile.mkdtemp(prefix="cc-")      # the path of a socket has 107 bytes at most
    monkeypatch.setenv("CORAL_CLASSIFY_SOCKET", os.path.join(folder, "s"))
    try:
        with SimulatedDriver(devices, **more) as driver:
            yield driver
    finally:
        shutil.rmtree(folder)


def start_owner(*arguments):
    """An owner that listens, or has said why it does not; its first line in ``said``, all in ``lines``."""
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    owner = subprocess.Popen([sys.executable, "-m", "coral_classify", "share", *arguments], env=environment,
                             stderr=subprocess.PIPE, universal_newlines=True)
    owner.lines = [owner.stderr.readline()]
    owner.said = owner.lines[0]
    threading.Thread(target=lambda: owner.lines.extend(owner.stderr), daemon=True).start()
    return owner


@contextlib.contextmanager
def running_owner(*arguments):
    process = start_owner(*arguments)
    try:
        assert "sharing at" in process.said
        yield process
    finally:
        process.kill()
        process.wait()


def models():
    """The models that the owner has loaded, as it tells."""
    return [model for device in ask_status()["devices"] for model in device["models"]]


def is_red(result):
    return result.predictions[0].class_id == 0
