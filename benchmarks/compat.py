"""What an ``invoke`` through ``coral_classify.compat`` costs beside the bare runtime's, in pairs.

    python benchmarks/compat.py --model mobilenet_v2_1.0_224_quant.tflite

Both interpreters hold the same model on the CPU, one engine thread each, and run in turn; who begins changes with each
pair.  "In a worker" is the home of compiled models, with the CPU in the place of the device: what shared memory and
pipe cost.  Beside the time that passed stands the processor time of the calling thread, which other programs on the
machine disturb less; in a worker that is only what the caller itself does.
"""
from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np

from coral_classify.compat.interpreter import Interpreter
from coral_classify.compat.remote import RemoteHost
from coral_classify.engine import load_engine


class _OnTheCpu:
    """Stands for a delegate whose device is the CPU of a worker process."""

    device = "cpu"
    options: Dict[str, Any] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    shared = Path(__file__).resolve().parent.parent.parent / "shared" / "testdata"
    parser.add_argument("--model", default=str(shared / "models" / "mobilenet_v2_1.0_224_quant.tflite"))
    parser.add_argument("--pairs", type=int, default=500)
    told = parser.parse_args()
    engine = load_engine()
    bare = engine.interpreter(model_path=told.model, num_threads=1)
    ours = Interpreter(model_path=told.model, num_threads=1)
    worker = Interpreter(model_path=told.model, num_threads=1)
    worker._home = RemoteHost(_OnTheCpu(), told.model, None, 1)  # type: ignore[arg-type]
    print("%s %s, NumPy %s; %d pairs" % (engine.name, engine.version, np.__version__, told.pairs))
    for name, other in (("in this process", ours), ("in a worker", worker)):
        for way in (invoke_alone, set_invoke_get):
            report(name, way.__name__.replace("_", " "), pairs(way(bare), way(other), told.pairs))
    worker.close()


def invoke_alone(interpreter: Any) -> Callable[[], None]:
    interpreter.allocate_tensors()
    run: Callable[[], None] = interpreter.invoke
    return run


def set_invoke_get(interpreter: Any) -> Callable[[], None]:
    """As most programs do it."""
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    pixels = np.random.RandomState(0).randint(0, 256, taken["shape"]).astype(taken["dtype"])

    def run() -> None:
        interpreter.set_tensor(taken["index"], pixels)
        interpreter.invoke()
        interpreter.get_tensor(given["index"])
    return run


def pairs(bare: Callable[[], None], ours: Callable[[], None], count: int) -> List[List[float]]:
    """Milliseconds pair by pair: (passed with the bare one, with ours, processor time of the bare one, of ours)."""
    measured = []
    for number in range(count + 20):
        times = [0.0, 0.0, 0.0, 0.0]
        for which in ((0, 1) if number % 2 else (1, 0)):
            started, worked = time.perf_counter(), time.thread_time()
            (bare, ours)[which]()
            times[which + 2] = (time.thread_time() - worked) * 1000.0
            times[which] = (time.perf_counter() - started) * 1000.0
        measured.append(times)
    return measured[20:]


def report(name: str, way: str, measured: List[List[float]]) -> None:
    for clock, first in (("passed", 0), ("processor", 2)):
        differences = sorted(times[first + 1] - times[first] for times in measured)
        quarter = len(differences) // 4
        bare, ours = (statistics.median(times[first + which] for times in measured) for which in (0, 1))
        print("%-15s | %-14s | %-9s | %.3f | %.3f | %+.3f (%+.3f … %+.3f)" % (
            name, way, clock, bare, ours, statistics.median(differences), differences[quarter],
            differences[-quarter - 1]))


if __name__ == "__main__":
    main()
