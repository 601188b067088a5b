"""One accelerator for several programs, measured in one run on the simulated driver.

    python benchmarks/sharing.py [--seconds 10] [--visitors 1000] [--soak 0]

Eight client processes over one accelerator of 5 ms against one process that owns it; the share of each; what sharing
adds to a single inference; the slowest 1 %; two models that alternate; what the owner has of memory, descriptors and
threads after many clients that came and went.  --soak S: S seconds of ``kill -9`` of owner, clients and driver's
process at random moments, then what is left.  One JSON line.  Linux only.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coral_classify.supervision import SupervisedSession, ask_status
from coral_classify.testing import SimulatedDriver, write_pair

REPOSITORY = str(Path(__file__).resolve().parent.parent)
CLIENT = """
import json, sys, time
import numpy as np
from coral_classify.supervision import SupervisedSession
model, device, begin, end = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
twin = model.replace("_edgetpu", "")
session = SupervisedSession.open(model, device, twin=twin)
(tensor,) = session.input_tensors(1)
tensor[...] = 7
took, wrong, elsewhere = [], 0, 0
session.run(tensor)
while time.time() < begin:
    time.sleep(0.001)
while time.time() < end:
    t = time.perf_counter()
    answer = session.run(tensor)
    took.append(time.perf_counter() - t)
    wrong += not (answer == 7).all()
    elsewhere += session.answer.device != "usb:0"
session.close()
print(json.dumps({"took": took, "wrong": wrong, "elsewhere": elsewhere}))
"""

NUMBERED = """
import sys
from coral_classify.supervision import SupervisedSession
model = sys.argv[1]
session = SupervisedSession.open(model, "shared", twin=model.replace("_edgetpu", ""), on_event=lambda event: None)
(tensor,) = session.input_tensors(1)
number = 0
while True:
    tensor[...] = (number % 256, number // 256 % 256, 7)
    low, high, mark = session.run(tensor).ravel().tolist()
    print(number, low + 256 * high if mark == 7 else -1, session.answer.device, flush=True)
    number += 1
"""


def clients(models: List[str], device: str, seconds: float) -> List[Dict[str, Any]]:
    begin = time.time() + 3.0
    running = [subprocess.Popen([sys.executable, "-c", CLIENT, model, device, str(begin), str(begin + seconds)],
                                stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=REPOSITORY))
               for model in models]
    return [json.loads(process.communicate()[0]) for process in running]


def start_owner() -> "subprocess.Popen[bytes]":
    owner = subprocess.Popen([sys.executable, "-m", "coral_classify", "share"], stderr=subprocess.DEVNULL,
                             env=dict(os.environ, PYTHONPATH=REPOSITORY))
    while True:
        try:
            ask_status()
            return owner
        except Exception:
            time.sleep(0.05)


def rate(told: List[Dict[str, Any]], seconds: float) -> float:
    return sum(len(one["took"]) for one in told) / seconds


def at(values: List[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def children_of(pid: int) -> List[int]:
    text = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE).stdout.split()
    return [int(word) for word in text]


def figures_of(pid: int) -> Dict[str, int]:
    """What a process has of memory (kB), descriptors and threads, with its children."""
    told = {"kB": 0, "descriptors": 0, "threads": 0}
    for one in [pid, *children_of(pid)]:
        status = Path("/proc/%d/status" % one).read_text()
        told["kB"] += int(status.partition("VmRSS:")[2].split()[0])
        told["threads"] += int(status.partition("Threads:")[2].split()[0])
        told["descriptors"] += len(os.listdir("/proc/%d/fd" % one))
    return told


def visitors(model: str, owner: int, count: int) -> List[Dict[str, int]]:
    """The owner's figures after a tenth of the clients, and after all of them; each opens, asks once and goes."""
    figures = []
    for number in range(count):
        session = SupervisedSession.open(model, "shared", any_network=bool(number % 2))
        (tensor,) = session.input_tensors(1)
        tensor[...] = number % 256
        assert (session.run(tensor) == number % 256).all()
        session.close()
        if number + 1 in (count // 10, count):
            while ask_status()["clients"]:
                time.sleep(0.01)
            figures.append(figures_of(owner))
    return figures


class Numbered:
    """A client whose pictures carry their numbers; each answer is looked at as it comes."""

    def __init__(self, model: str) -> None:
        self.answers = self.wrong = self.elsewhere = 0
        self.process = subprocess.Popen([sys.executable, "-c", NUMBERED, model], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, universal_newlines=True,
                                        env=dict(os.environ, PYTHONPATH=REPOSITORY))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # it was killed while it wrote
            number, answer, device = line.split()
            # In its turn, once, and the answer to this picture and no other.
            self.wrong += int(number) != self.answers or int(answer) != int(number) % 65536
            self.answers += 1
            self.elsewhere += device == "cpu"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()


def soak(model: str, seconds: float, folder: str) -> Dict[str, Any]:
    """Two clients are never killed: they go on through everything.  Others come and are shot."""
    temporary = os.path.join(folder, "temporary")
    os.mkdir(temporary)
    os.environ.update(TMPDIR=temporary, CORAL_CLASSIFY_SOAK=uuid.uuid4().hex)
    shared_kb = _shared_kb()
    owner, kills = start_owner(), {"owner": 0, "client": 0, "driver": 0}
    steady, others, gone = [Numbered(model) for _ in range(2)], [Numbered(model) for _ in range(3)], []
    while not all(one.answers for one in steady):  # who finds no owner at the first opening has no session
        time.sleep(0.01)
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(random.uniform(0.2, 4.0))
        what = random.choice(sorted(kills))
        if what == "owner":
            owner.kill()
            owner.wait()
            owner = start_owner()
        elif what == "client":
            others[0].kill()
            gone.append(others.pop(0))
            others.append(Numbered(model))
        else:
            for pid in children_of(owner.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
        kills[what] += 1
    stuck = [one.answers for one in steady]
    time.sleep(5.0)
    stuck = [one.answers - before for one, before in zip(steady, stuck)]
    for one in steady + others:
        one.kill()
    while ask_status()["clients"]:
        time.sleep(0.01)
    owner.terminate()
    code = owner.wait()
    time.sleep(2.0)
    everyone = steady + others + gone
    return {"kills": kills, "clients": len(everyone), "answers": sum(one.answers for one in everyone),
            "of_steady_clients": [one.answers for one in steady], "in_last_5_s": stuck,
            "wrong_or_twice_or_missing": sum(one.wrong for one in everyone),
            "by_twin": sum(one.elsewhere for one in everyone), "owner_code": code,
            "processes_left": _marked(os.environ["CORAL_CLASSIFY_SOAK"]), "temporary_files_left": os.listdir(temporary),
            "beside_the_socket": [name for name in os.listdir(folder) if name.startswith("s")],
            "in_dev_shm": [name for name in os.listdir("/dev/shm") if name.startswith("coral")],
            "shared_memory_of_the_machine_grew_kB": _shared_kb() - shared_kb}


def _shared_kb() -> int:
    return int(Path("/proc/meminfo").read_text().partition("Shmem:")[2].split()[0])


def _marked(mark: str) -> List[int]:
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and mark.encode() in Path("/proc", entry, "environ").read_bytes():
                found.append(int(entry))
        except OSError:
            pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--visitors", type=int, default=1000)
    parser.add_argument("--soak", type=float, default=0.0)
    args = parser.parse_args()
    seconds = args.seconds
    with tempfile.TemporaryDirectory(prefix="cc-") as folder, SimulatedDriver("usb", invoke_ms=5.0):
        os.environ["CORAL_CLASSIFY_SOCKET"] = os.path.join(folder, "s")
        model = str(write_pair(folder))
        second = os.path.join(folder, "other_edgetpu.tflite")
        Path(second).write_bytes(Path(model).read_bytes() + b"\0" * 16)
        Path(second.replace("_edgetpu", "")).write_bytes(Path(model.replace("_edgetpu", "")).read_bytes())
        if args.soak:
            print(json.dumps(soak(model, args.soak, folder)))
            return
        own = clients([model], "usb:0", seconds)
        owner = start_owner()
        one = clients([model], "shared", seconds)
        eight = clients([model] * 8, "shared", seconds)
        two = clients([model, second] * 4, "shared", seconds)
        after = visitors(model, owner.pid, args.visitors) if args.visitors else []
        owner.terminate()
        code = owner.wait()
    counts = [len(client["took"]) for client in eight]
    together = [took for client in eight for took in client["took"]]
    print(json.dumps({
        "owner_alone_per_s": rate(own, seconds), "eight_per_s": rate(eight, seconds),
        "eight_of_alone": rate(eight, seconds) / rate(own, seconds),
        "share_off_by": max(abs(count * 8.0 / sum(counts) - 1.0) for count in counts),
        "added_ms": 1000.0 * (at(one[0]["took"], 0.5) - at(own[0]["took"], 0.5)),
        "slowest_1_of_round": at(together, 0.99) / at(together, 0.5),
        "two_models_of_one": rate(two, seconds) / rate(eight, seconds),
        "after_a_tenth_of_the_visitors_and_all": after, "owner_code": code}))


if __name__ == "__main__":
    main()
