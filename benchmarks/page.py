"""What viewers of ``live --page`` cost the classification: none, one and ten in turn, in one run.

    python benchmarks/page.py [--rounds 5] [--seconds 4] [--viewers 1,10]

The device is a session that takes 10 ms and no processor time, as an accelerator does; the camera gives drawn 640 x 480
frames faster than that, so that the rate is what the loop manages.  Viewers are another process, which reads the
picture's stream and the events of each and does nothing with them.  Also printed: processor time of the serving process
for each answer.  The goal: ten viewers cost at most 5 % of the rate.
"""
from __future__ import annotations

import argparse
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from coral_classify import Classifier
from coral_classify.cameras import Camera, Frame
from coral_classify.cameras.synthetic import drawn
from coral_classify.testing import FakeSession
from coral_classify.viewing import Page
from coral_classify.web import address

DEVICE_S = 0.010
RATE = 150.0


class Drawn(Camera):
    """Frames that were drawn beforehand."""

    def __init__(self) -> None:
        super().__init__("drawn")
        self._pictures = [drawn((640, 480), number / 3, number) for number in range(48)]

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        began, number = time.monotonic(), 0
        while not over.wait(max(0.0, began + number / RATE - time.monotonic())):
            now, picture = time.monotonic(), self._pictures[number % len(self._pictures)]
            yield Frame(self.name, now, now, lambda picture=picture: picture)
            number += 1


def answer(tensor: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Of a device that takes its time and nothing else."""
    time.sleep(DEVICE_S)
    return np.arange(10, dtype=np.uint8)[None]


def measured(page: Page, answers: "Iterator[Any]", seconds: float) -> Tuple[float, float]:
    """Answers a second, and processor time of this process for one, in ms."""
    count, began, used = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        page.tell(next(answers))
        count += 1
    return count / (time.monotonic() - began), 1e3 * (time.process_time() - used) / count


def view(port: int, number: int) -> None:
    """So many viewers, until standard input ends."""
    def read(path: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port)) as end:
            end.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while end.recv(1 << 16):
                pass
    for _ in range(number):
        for path in (b"/picture", b"/events"):
            threading.Thread(target=read, args=(path,), daemon=True).start()
    print("looking", flush=True)
    sys.stdin.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--viewers", default="1,10")
    parser.add_argument("--view", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.view:
        view(*args.view)
        return
    numbers = [0] + [int(text) for text in args.viewers.split(",")]
    page = Page(address("127.0.0.1:0"))
    port = int(re.search(r":(\d+)/", page.url).group(1))     # type: ignore[union-attr]
    results: Dict[int, List[Tuple[float, float]]] = {number: [] for number in numbers}
    with Classifier(FakeSession(answer)) as classifier:
        answers = classifier.watch(Drawn(), with_frames=True)
        measured(page, answers, 1.0)
        for _ in range(args.rounds):
            for number in numbers:
                with subprocess.Popen([sys.executable, __file__, "--view", str(port), str(number)], bufsize=0,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as viewers:
                    viewers.stdout.readline()       # type: ignore[union-attr]
                    measured(page, answers, 0.5)
                    results[number].append(measured(page, answers, args.seconds))
                    viewers.kill()
                while page.viewers:
                    measured(page, answers, 0.2)
        answers.close()     # type: ignore[attr-defined]
    page.close()
    for number in numbers:
        shares = [now[0] / none[0] for now, none in zip(results[number], results[0])]
        print("%2d viewers: %5.1f answers/s  %6.2f ms of a core each  rate against none: median %.3f (%.3f to %.3f)" % (
            number, statistics.median(r for r, _ in results[number]), statistics.median(c for _, c in results[number]),
            statistics.median(shares), min(shares), max(shares)))


if __name__ == "__main__":
    main()
