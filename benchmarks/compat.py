"""What an ``invoke`` through ``coral_classify.compat`` costs beside the bare runtime's, in pairs.

    python benchmarks/compat.py --model mobilenet_v2_1.0_224_quant.tflite

Both interpreters hold the same model on the CPU, one engine thread each, and run in turn; who begins changes with each
pair.  "In a worker" is the home of compiled models, with the CPU in the place of the device: what shared memory and
pipe cost.
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
    """Milliseconds of (bare, ours), pair by pair."""
    measured = []
    for number in range(count + 20):
        times = [0.0, 0.0]
        for which in ((0, 1) if number % 2 else (1, 0)):
            started = time.perf_counter()
            (bare, ours)[which]()
            times[which] = (time.perf_counter() - started) * 1000.0
        measured.append(times)
    return measured[20:]


def report(name: str, way: str, measured: List[List[float]]) -> None:
    differences = sorted(ours - bare for bare, ours in measured)
    quarter = len(differences) // 4
    print("%-16s %-15s bare %.3f ms, ours %.3f ms, difference of the pairs %+.3f ms (%+.3f … %+.3f)" % (
        name, way, statistics.median(bare for bare, _ in measured), statistics.median(ours for _, ours in measured),
        statistics.median(differences), differences[quarter], differences[-quarter - 1]))


if __name__ == "__main__":
    main()
