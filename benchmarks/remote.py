"""What a board over HTTP adds to one inference, measured in one run on localhost, in alternation.

    python benchmarks/remote.py [--rounds 20] [--runs 20]

The same network (mean colour, 224 x 224 x 3 bytes in) in this process, in a supervised worker, and behind
`coral-classify serve` in another process: once as a session of its own and once supervised.  No network lies between;
on a wire of 1 Gbit/s the tensor takes 1.2 ms more, on one of 100 Mbit/s 12 ms.  One JSON line, in ms.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from coral_classify.edgetpu import Options
from coral_classify.engine import open_session
from coral_classify.modelfiles import read_model
from coral_classify.placement import Supervision, open_first
from coral_classify.testing import small_models

REPOSITORY = str(Path(__file__).resolve().parent.parent)


def serve(model: str) -> "tuple[subprocess.Popen[str], str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "coral_classify", "serve", "--model", model, "--device", "cpu", "--threads", "1",
         "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=REPOSITORY))
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("serving "):
            return process, line.split(" at ")[1].strip().rstrip("/")
    raise SystemExit("coral-classify serve does not start: pip install '.[serve]'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "colours.tflite"
        path.write_bytes(small_models.colours(size=(224, 224)))
        model = read_model(path)
        server, url = serve(str(path))

        def opened(device: str, supervised: bool):      # type: ignore[no-untyped-def]
            return open_first(model, device, None, 1, Options(), Supervision(supervised, 10000.0, "cpu", None))[0]
        ways = {"local": open_session(model, threads=1), "local, supervised": opened("cpu", True),
                "board": opened(url, False), "board, supervised": opened(url, True)}
        tensors = {name: session.input_tensors(1)[0] for name, session in ways.items()}
        took: Dict[str, List[float]] = {name: [] for name in ways}
        for number in range(args.rounds + 1):
            for name, session in ways.items():
                tensors[name][...] = number
                for _ in range(args.runs):
                    begin = time.perf_counter()
                    answer = session.run(tensors[name])
                    if number:      # the first round warms up
                        took[name].append(1e3 * (time.perf_counter() - begin))
                    assert abs(int(np.max(answer)) - number) <= 1
        for session in ways.values():
            session.close()
        server.terminate()
        server.wait()
    medians = {name: statistics.median(values) for name, values in took.items()}
    print(json.dumps({
        "runs": args.rounds * args.runs, "median_ms": {name: round(value, 3) for name, value in medians.items()},
        # On a machine with other work the tenth percentile is nearer to what it costs than the median.
        "p10_ms": {name: round(sorted(values)[len(values) // 10], 3) for name, values in took.items()},
        "p95_ms": {name: round(sorted(values)[int(0.95 * len(values))], 3) for name, values in took.items()},
        "added_ms": {name: round(medians[name] - medians["local"], 3) for name in medians if name != "local"}}))


if __name__ == "__main__":
    main()
