"""Memory over many frames of a camera, time compressed: a day at 30 frames a second has 2.6 million (Linux).

    python benchmarks/frames.py [--frames 500000] [--every-frame] [--device DEVICE] [--model MODEL]

The camera gives its next small frame as soon as the one before is answered, and drops out every 50,000 frames.  Without
a model, a small one is written.  Prints Markdown: answers and resident memory.
"""
from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coral_classify import CameraError, Classifier
from coral_classify.cameras import Camera, Frame
from coral_classify.cameras.synthetic import drawn
from coral_classify.testing import write_pair

LASTS = 50000           # frames, before the camera drops out


class Compressed(Camera):
    """A live camera without pauses."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("compressed")
        self.answered = threading.Event()
        self._wait_s = wait_s       # where all are answered, the watcher makes the camera wait
        self._pictures = [drawn((64, 48), number / 3, number) for number in range(12)]

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        for number in range(LASTS):
            now, picture = time.monotonic(), self._pictures[number % len(self._pictures)]
            self.answered.clear()
            yield Frame(self.name, now, now, lambda picture=picture: picture)
            self.answered.wait(self._wait_s)
            if over.is_set():
                return
        raise CameraError("compressed: pulled out")


def resident_mb() -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1024.0 if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=500000)
    parser.add_argument("--every-frame", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model")
    args = parser.parse_args()
    source, events, answers, failed = Compressed(0.0 if args.every_frame else 0.01), [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or write_pair(folder)
        with Classifier(model, device=args.device) as classifier:
            print("| answers | resident MB |\n|---|---|")
            began = time.monotonic()
            results = classifier.watch(source, every_frame=args.every_frame, on_event=lambda e: events.append(e.kind))
            for result in results:
                answers += 1
                failed += result.error is not None
                source.answered.set()
                if answers == 1000 or answers % (args.frames // 10) == 0:
                    print("| %d | %.1f |" % (answers, resident_mb()), flush=True)
                if answers == args.frames:
                    break
            results.close()
    print("\n%d answers in %.0f s, %d failed; the camera was lost %d times and back %d times" % (
        answers, time.monotonic() - began, failed, events.count("lost"), events.count("back")))


if __name__ == "__main__":
    main()
