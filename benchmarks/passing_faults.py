"""How many pictures an accelerator answers that has a passing fault every thousand pictures.

    python benchmarks/passing_faults.py [--pictures 20000] [--every 1000] [--invoke-ms 2] [--second-ms 1000]

On the simulated driver, which takes a real one's two seconds to open; the CPU twin answers while it is away, slowed
down to a small board's speed.  Prints the share of pictures on the accelerator, and what was lost: nothing may be.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from coral_classify import Classifier
from coral_classify.testing import SimulatedDriver, write_pair


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=20000)
    parser.add_argument("--every", type=int, default=1000, help="pictures between two faults")
    parser.add_argument("--invoke-ms", type=int, default=2, help="an inference on the accelerator")
    parser.add_argument("--second-ms", type=int, default=1000, help="one of the driver's seconds: it opens in two")
    parser.add_argument("--pause-ms", type=float, default=20.0, help="between two pictures while the CPU answers")
    options = parser.parse_args()
    faults = ",".join("abort:%d" % number for number in range(options.every, 4 * options.pictures, options.every))
    kinds: "collections.Counter[str]" = collections.Counter()
    on: "collections.Counter[str]" = collections.Counter()
    wrong = 0
    colours = np.random.RandomState(0).randint(0, 256, (256, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder, SimulatedDriver(
            faults=faults, invoke_ms=options.invoke_ms):
        os.environ["SIM_SECOND_MS"] = str(options.second_ms)
        model = write_pair(folder)
        began = time.monotonic()
        with Classifier(model, wait_for_device=True, on_event=lambda event: kinds.update([event.kind])) as classifier:
            for number in range(options.pictures):
                result = classifier.classify(np.broadcast_to(colours[number % 256], (8, 8, 3)), top_k=3)
                on[result.device] += 1
                scores = {p.label: p.score for p in result.predictions}
                expected = colours[number % 256] / 255
                wrong += any(abs(scores[label] - value) > 0.01
                             for label, value in zip(("red", "green", "blue"), expected))
                if result.device == "cpu":
                    time.sleep(options.pause_ms / 1000.0)
        took_s = time.monotonic() - began
    print(json.dumps({"pictures": options.pictures, "on": on, "wrong": wrong, "events": kinds,
                      "share": round(1.0 - on["cpu"] / options.pictures, 4), "seconds": round(took_s)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
