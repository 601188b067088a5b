"""What the tests of supervised sessions share: quick policies, marks on processes, counts of what is open."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import worker_factories

from coral_classify.supervision.health import DeviceHealth
from coral_classify.supervision.supervised import Limits, SupervisedSession

TESTDATA = Path(os.environ.get("CORAL_CLASSIFY_TESTDATA")
                or Path(__file__).resolve().parents[2] / "shared" / "testdata")
MODEL = TESTDATA / "models" / "mobilenet_v1_0.25_128_quant.tflite"     # where it is at hand

HERE = Path(__file__).resolve().parent
MARK = "CORAL_CLASSIFY_TEST_MARK"
# How many processes the tests shoot at random moments; the proof is a hundred: CORAL_CLASSIFY_KILLS=100.
KILLS = int(os.environ.get("CORAL_CLASSIFY_KILLS", "20"))


# An emulated processor takes many times as long; see tests/arm/run.sh.
PATIENCE = float(os.environ.get("CORAL_CLASSIFY_PATIENCE", "1"))


def quick(**changes):
    """Deadlines for tests: short where a test waits for them, and still long on a loaded machine."""
    values = {"run_s": 20.0, "first_s": 20.0, "open_s": 30.0, "patience_s": 30.0, "close_s": 5.0,
              "notice_s": 1000.0, "trial_s": 0.0}
    values.update(changes)
    return Limits(**values)


def never_resting():
    return DeviceHealth(first_pause_s=0.01, longest_pause_s=0.05, rest_s=0)


def supervised(description, **more):
    """A supervised session over ``worker_factories.numbered``."""
    more.setdefault("limits", quick())
    more.setdefault("health", never_resting())
    more.setdefault("device", description.get("device", "usb:0"))
    more.setdefault("factory", "worker_factories:numbered")
    return SupervisedSession(description, **more)


def check_stream(session, numbers):
    """Each picture is answered with its own number; returns the answers' notes."""
    notes = []
    for value in numbers:
        output = session.run(worker_factories.picture(value))
        assert worker_factories.answer_to(value)[0, :2].tolist() == output[0, :2].tolist()
        assert output[0, 3] == 7
        notes.append(session.answer)
    return notes


def losses(events):
    """What was told of lost devices; on a slow machine it may be told of an opening, too."""
    return [event for event in events if event.kind == "lost"]


def wait_until(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s * PATIENCE
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def descriptors():
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


def children_of(pid):
    """Pids of the living (or undead) children of a process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                text = Path("/proc", entry, "stat").read_text()
                if int(text.rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry))
    return found


def marked(mark):
    """Pids of all processes that carry this mark in their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in Path("/proc", entry, "environ").read_bytes():
                    found.append(int(entry))
    return found


def new_mark():
    return uuid.uuid4().hex


def settled(output):
    """What a program printed, stripped; without the notice of an opening that takes long on a busy machine."""
    return b"\n".join(line for line in output.splitlines() if not line.startswith(b"opening ")).strip()


def start_script(text, mark, *arguments, **popen):
    """A plain script (no ``__main__`` guard) in a process of its own, marked."""
    environment = dict(os.environ)
    environment[MARK] = mark
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE)])
    popen.setdefault("stdout", subprocess.PIPE)
    popen.setdefault("stderr", subprocess.STDOUT)
    return subprocess.Popen([sys.executable, *(arguments or ("-c", text))], env=environment, **popen)
