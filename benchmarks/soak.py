"""A soak of the supervised session: very many inferences, faults at random, and a look at what grows.

    python benchmarks/soak.py --inferences 1000000 --model tiny.tflite [--device usb:0 --twin tiny.tflite]
    python benchmarks/soak.py --inferences 5000                 # no engine: sessions that answer at once

Every answer is compared with the first one to the same picture on the same device.  ``--kill-every S`` shoots
a worker with SIGKILL about every S seconds.  One JSON line a report on standard output: inferences, rate,
resident memory of this process and of its workers (MB), descriptors, processes, threads, faults survived.
Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from coral_classify import engine
from coral_classify.events import Event
from coral_classify.supervision import DeviceHealth, SupervisedSession
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, Session, TensorSpec


def open_echo(description: Dict[str, Any]) -> Session:
    """Without an engine: the answer is the first bytes of the picture."""
    return FakeSession(
        lambda tensor: tensor[:, 0, :2, :].reshape(1, 6),
        input=TensorSpec((1, 32, 32, 3), np.dtype(np.uint8), Quantization(1 / 128, 128)),
        output=TensorSpec((1, 6), np.dtype(np.uint8), Quantization(1 / 256, 0)),
        device=description["device"],
    )


def children(pid: int) -> List[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry))
    return found


def resident_mb(pid: int) -> float:
    try:
        pages = int(Path("/proc", str(pid), "statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def look(begin: float, done: int, events: "Counter[str]", kills: int) -> Dict[str, Any]:
    """One report."""
    mine = os.getpid()
    workers = children(mine)
    return {
        "s": round(time.monotonic() - begin, 1),
        "inferences": done,
        "per_s": round(done / max(1e-9, time.monotonic() - begin)),
        "parent_mb": round(resident_mb(mine), 2),
        "workers_mb": [round(resident_mb(pid), 2) for pid in workers],
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "kills": kills,
        "events": dict(events),
    }


def soak(session: SupervisedSession, options: argparse.Namespace, events: "Counter[str]") -> Dict[str, Any]:
    """Run it; the last report, with the number of recovered pictures and of answers by device."""
    generator = np.random.RandomState(7)
    pictures = [generator.randint(0, 128, session.input.shape).astype(session.input.dtype) for _ in range(64)]
    expected: Dict[Tuple[str, int], bytes] = {}
    by_device: "Counter[str]" = Counter()
    begin = time.monotonic()
    next_report, next_kill = begin, begin + random.uniform(0, 2 * options.kill_every)
    recovered = kills = 0
    for done in range(options.inferences):
        chosen = done % len(pictures)
        answer = session.run(pictures[chosen]).tobytes()
        note = session.answer
        if expected.setdefault((note.device, chosen), answer) != answer:
            raise AssertionError("inference %d on %s gave another answer than before" % (done, note.device))
        recovered += note.recovered
        by_device[note.device] += 1
        if done % 64 == 0:
            now = time.monotonic()
            if now >= next_report:
                print(json.dumps(look(begin, done, events, kills)), flush=True)
                next_report = now + options.report_every
            if options.kill_every and now >= next_kill:
                for pid in children(os.getpid())[:1]:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                next_kill = now + random.uniform(0, 2 * options.kill_every)
    last = look(begin, options.inferences, events, kills)
    last.update(recovered=recovered, answers=dict(by_device))
    return last


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inferences", type=int, default=5000)
    parser.add_argument("--model", help=".tflite; without it, sessions that answer at once")
    parser.add_argument("--twin", help=".tflite for the CPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine")
    parser.add_argument("--factory", metavar="MODULE:FUNCTION", help="opens the sessions in the workers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kill-every", type=float, default=0.0, metavar="S")
    parser.add_argument("--report-every", type=float, default=10.0, metavar="S")
    options = parser.parse_args(argv)
    events: "Counter[str]" = Counter()

    def count(event: Event) -> None:
        events[event.kind] += 1
        if events[event.kind] <= 3:
            print(event.message, file=sys.stderr)

    def describe(model: Optional[str], device: str) -> Dict[str, Any]:
        return engine.describe(model or "", device, engine=options.engine, threads=options.threads)

    more: Dict[str, Any] = {} if options.model else {"factory": "soak:open_echo"}
    if options.factory:
        more = {"factory": options.factory}
    twin = (
        describe(options.twin, "cpu")
        if options.twin or (not options.model and options.device != "cpu")
        else None
    )
    before = len(os.listdir("/proc/self/fd"))
    # No rest: here the device is meant to fail often.
    health = DeviceHealth(first_pause_s=0.1, longest_pause_s=1.0, rest_s=0.0)
    session = SupervisedSession(
        describe(options.model, options.device),
        twin=twin,
        device=options.device,
        on_event=count,
        health=health,
        **more,
    )
    with session:
        last = soak(session, options, events)
    last["after_close"] = {
        "processes": len(children(os.getpid())),
        "descriptors_gained": len(os.listdir("/proc/self/fd")) - before,
        "threads": threading.active_count(),
    }
    print(json.dumps(last), flush=True)
    return 0 if not last["after_close"]["processes"] and last["after_close"]["descriptors_gained"] <= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
