"""This package against the barest script and its peers: same model, pictures, threads, in one run, alternating.

    python benchmarks/compare.py MODEL PICTURE.jpg [--threads 1] [--rounds 15] [--way NAME=PYTHON ...]

MODEL: a quantized classifier with metadata (MobileNet v2 1.0 224 uint8).  PICTURE: a JPEG of some 512 x 929.  A
12-megapixel JPEG is made from it.  Further ways, each with the Python of an environment that has it: ``pycoral_way``,
``tasks``, ``mediapipe``.  Prints Markdown: medians in ms with quartiles, and ratios.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
SCRIPT = """
import sys; sys.argv = ["ways.py", "barest", %r, "%d"]
sys.path.insert(0, %r)
import ways
_, classify = ways.barest(sys.argv[1 + 1], int(sys.argv[3]))
print(classify(%r))
"""


class Worker:
    """A way in its process."""

    def __init__(self, name: str, way: str, python: str, model: str, threads: int) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [python, str(HERE / "ways.py"), way, model, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, universal_newlines=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                return
        raise SystemExit("%s does not start with %s" % (way, python))

    def ask(self, line: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def spread(times: List[float]) -> str:
    low, middle, high = np.percentile(times, [25, 50, 75])
    return "%.2f (%.2f … %.2f)" % (middle, low, high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--way", action="append", default=[], metavar="NAME=PYTHON")
    args = parser.parse_args()
    workers = [Worker(way, way, sys.executable, args.model, args.threads)
               for way in ("coral_classify", "barest", "pycoral_way")]
    for extra in args.way:
        way, _, python = extra.partition("=")
        workers.append(Worker("%s (its own environment)" % way, way, python, args.model, args.threads))
    with tempfile.TemporaryDirectory() as folder:
        large = os.path.join(folder, "large.jpg")
        Image.open(args.picture).convert("RGB").resize((4000, 3000), Image.LANCZOS).save(large, quality=90)
        rows = {"sized array": ("array", 20), "JPEG %d × %d" % Image.open(args.picture).size: (args.picture, 10),
                "12-megapixel JPEG": (large, 2)}
        times: Dict[str, Dict[str, List[float]]] = {row: {w.name: [] for w in workers} for row in rows}
        for number in range(args.rounds):
            for row, (picture, count) in rows.items():
                for i in range(len(workers)):
                    worker = workers[(i + number) % len(workers)]
                    times[row][worker.name] += worker.ask("%d %s" % (count, picture))
        print("%s, %s, Python %s, %d thread(s), %d rounds\n" % (
            platform.processor() or platform.machine(), platform.platform(), platform.python_version(), args.threads,
            args.rounds))
        print("| way | %s | peak memory MB |" % " | ".join("%s, ms" % row for row in rows))
        print("|---|%s---|" % ("---|" * len(rows)))
        for worker in workers:
            cells = ["%s, %.2f ×" % (spread(times[row][worker.name]),
                                      statistics.median(times[row][worker.name])
                                      / statistics.median(times[row]["coral_classify"])) for row in rows]
            print("| %s | %s | %.0f |" % (worker.name, " | ".join(cells), worker.ask("memory")))
        commands(args, args.picture)
        folders(args, folder)


def commands(args: argparse.Namespace, picture: str) -> None:
    """The command line against the barest script, each in new processes, in pairs."""
    ours = [sys.executable, "-m", "coral_classify", picture, "--model", args.model, "--device", "cpu", "--threads",
            str(args.threads)]
    theirs = [sys.executable, "-c", SCRIPT % (args.model, args.threads, str(HERE), picture)]
    times: Dict[str, List[float]] = {"ours": [], "theirs": []}
    both = [("ours", ours), ("theirs", theirs)]
    # Compiled modules, as an installation has them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for number in range(args.rounds + 1):
        for name, command in both if number % 2 else both[::-1]:
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                           cwd=str(HERE.parent), env=environment)
            if number:      # the first one warms the disk
                times[name].append(1e3 * (time.perf_counter() - began))
    ratios = [a / b for a, b in zip(times["ours"], times["theirs"])]
    print("\nCommand line, new process: %s ms; barest script %s ms; ratio %s" % (
        spread(times["ours"]), spread(times["theirs"]), spread(ratios)))


def folders(args: argparse.Namespace, folder: str) -> None:
    """A folder of 200 pictures: one after the other, and as a stream with 1, 2, 4 decoding threads."""
    from coral_classify import Classifier

    pictures = [args.picture] * 200
    with Classifier(args.model, device="cpu", threads=args.threads) as classifier:
        results = [classifier.classify(picture) for picture in pictures]
        prepare = sum(result.preprocess_ms for result in results) / len(results)
        infer = sum(result.inference_ms for result in results) / len(results)
        print("\n200 pictures, pictures/s: preparing alone %.0f on one thread, inference alone %.0f" % (
            1e3 / prepare, 1e3 / infer))
        for decoders in (1, 2, 4):
            rates = []
            for _ in range(5):
                began = time.perf_counter()
                assert sum(1 for _ in classifier.stream(pictures, decoders=decoders)) == len(pictures)
                rates.append(len(pictures) / (time.perf_counter() - began))
            print("- stream, %d decoding thread(s): %.0f" % (decoders, statistics.median(rates)))


if __name__ == "__main__":
    main()
