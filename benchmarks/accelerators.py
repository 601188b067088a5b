"""How a Pool grows with accelerators: simulated ones that take 5 ms for an inference.

    python benchmarks/accelerators.py LIBRARY COMPILED_MODEL [--invoke-ms 5]

LIBRARY: tests/simulated_edgetpu/edgetpu.c, compiled with: cc -shared -fPIC -O1 -o libedgetpu.so.1 edgetpu.c -lpthread.
Each device has a worker process of its own, as a real one would.
"""
from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coral_classify import Pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("model")
    parser.add_argument("--invoke-ms", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=400)
    args = parser.parse_args()
    os.environ.update(CORAL_CLASSIFY_LIBEDGETPU=os.path.abspath(args.library), SIM_INVOKE_MS=str(args.invoke_ms))
    rates = {}
    for count in (1, 2, 4):
        os.environ["SIM_DEVICES"] = ",".join(["usb"] * count)
        with Pool(args.model, devices=["usb:%d" % i for i in range(count)]) as pool:
            picture = np.zeros((8, 8, 3), np.uint8)
            times = []
            for _ in range(5):
                began = time.perf_counter()
                assert sum(1 for _ in pool.stream([picture] * args.pictures)) == args.pictures
                times.append(time.perf_counter() - began)
        rates[count] = args.pictures / statistics.median(times)
        print("%d accelerator(s): %.0f pictures/s, %.2f times one" % (count, rates[count], rates[count] / rates[1]))


if __name__ == "__main__":
    main()
