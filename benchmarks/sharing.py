"""One accelerator for several programs, measured in one run on the simulated driver.

    python benchmarks/sharing.py [--seconds 10] [--soak 0]

Eight client processes over one accelerator of 5 ms against one process that owns it; the share of each; what sharing
adds to a single inference; the slowest 1 %; two models that alternate.  --soak S: S seconds of ``kill -9`` of owner,
clients and driver's process at random, then what is left.  One JSON line.  Linux only.
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
import time
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coral_classify.supervision import ask_status
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


def soak(model: str, seconds: float) -> Dict[str, Any]:
    """A client that is never killed must have each picture answered; others come and are shot."""
    owner, kills = start_owner(), {"owner": 0, "client": 0, "driver": 0}
    end = time.time() + seconds

    def client() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", CLIENT, model, "shared", "0", str(end)], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, env=dict(os.environ, PYTHONPATH=REPOSITORY))

    steady, others = client(), [client() for _ in range(3)]
    while time.time() < end - 5.0:
        time.sleep(random.uniform(0.5, 3.0))
        what = random.choice(sorted(kills))
        if what == "owner":
            owner.kill()
            owner.wait()
            owner = start_owner()
        elif what == "client":
            victim = others.pop(0)
            victim.kill()
            victim.communicate()
            others.append(client())
        else:
            for pid in children_of(owner.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
        kills[what] += 1
    told = json.loads(steady.communicate()[0])
    for other in others:
        other.communicate()
    left = children_of(owner.pid)
    owner.terminate()
    return {"kills": kills, "answers": len(told["took"]), "wrong": told["wrong"], "by_twin": told["elsewhere"],
            "driver_processes_while_idle": len(left), "owner_code": owner.wait()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
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
            print(json.dumps(soak(model, args.soak)))
            return
        own = clients([model], "usb:0", seconds)
        owner = start_owner()
        one = clients([model], "shared", seconds)
        eight = clients([model] * 8, "shared", seconds)
        two = clients([model, second] * 4, "shared", seconds)
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
        "two_models_of_one": rate(two, seconds) / rate(eight, seconds), "owner_code": code}))


if __name__ == "__main__":
    main()
