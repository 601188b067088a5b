"""What supervision costs: the same session in this process and in a worker, measured in pairs.

    python benchmarks/supervision.py [--pairs 2000] [--run 10] [--model X.tflite] [--threads 1]

Without a model the session answers at once, and what is left is the cost of the way there and back: one
224 x 224 picture into shared memory, two messages, two changes of process, one answer.  With a model its
inference lies in between, as in real use.  A pair is a run of ``--run`` pictures each way; pairs alternate
their order, so that drift hits both alike.  With ``--run 1`` the worker sleeps through every picture of the
other side, and waking its core is part of each figure; in longer runs it works as in a stream.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from coral_classify import engine
from coral_classify.supervision import SupervisedSession
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, Session, TensorSpec

_FACTORY = "supervision:open_session"


def open_session(description: Dict[str, Any]) -> Session:
    """In the worker, and here: the session under test."""
    factory = description.get("factory") or ("coral_classify.engine:open_described" if description else None)
    if factory:
        module, _, function = factory.partition(":")
        session: Session = getattr(importlib.import_module(module), function)(description)
        return session
    answer = np.zeros((1, 1001), np.uint8)
    return FakeSession(
        lambda tensor: answer,
        input=TensorSpec((1, 224, 224, 3), np.dtype(np.uint8), Quantization(1 / 128, 128)),
        output=TensorSpec((1, 1001), np.dtype(np.uint8), Quantization(1 / 256, 0)),
    )


def _once(session: Session, tensor: "np.ndarray[Any, Any]", run: int) -> float:
    """Milliseconds a picture."""
    begin = time.perf_counter()
    for _ in range(run):
        session.run(tensor)
    return (time.perf_counter() - begin) * 1000.0 / run


def measure(pairs: int, run: int, description: Dict[str, Any]) -> Dict[str, float]:
    """Median milliseconds of both ways, and of their paired difference with its quartiles."""
    inside = open_session(description)
    begin = time.perf_counter()
    outside = SupervisedSession(description, factory=_FACTORY, device="cpu")
    opening_ms = (time.perf_counter() - begin) * 1000.0
    random = np.random.RandomState(1)
    low, high = (0.0, 1.0) if inside.input.dtype.kind == "f" else (0, 127)
    tensors = [random.uniform(low, high, inside.input.shape).astype(inside.input.dtype) for _ in range(8)]
    for tensor in tensors:
        assert (inside.run(tensor) == outside.run(tensor)).all(), "both ways must give the same answer"
    within: List[float] = []
    beyond: List[float] = []
    for pair in range(pairs):
        tensor = tensors[pair % len(tensors)]
        if pair % 2:
            within.append(_once(inside, tensor, run))
            beyond.append(_once(outside, tensor, run))
        else:
            beyond.append(_once(outside, tensor, run))
            within.append(_once(inside, tensor, run))
    outside.close()
    inside.close()
    differences = sorted(b - a for a, b in zip(within, beyond))  # noqa: B905
    return {
        "in_process_ms": statistics.median(within),
        "supervised_ms": statistics.median(beyond),
        "overhead_ms": statistics.median(differences),
        "overhead_p25_ms": differences[len(differences) // 4],
        "overhead_p75_ms": differences[3 * len(differences) // 4],
        "overhead_p95_ms": differences[95 * len(differences) // 100],
        "opening_ms": opening_ms,
    }


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--run", type=int, default=10, help="pictures in a row, each way")
    parser.add_argument("--model", help="a .tflite for the CPU; without it the session answers at once")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", help="ai-edge-litert or tflite-runtime")
    parser.add_argument("--factory", metavar="MODULE:FUNCTION", help="opens the session, here and there")
    options = parser.parse_args(argv)
    description: Dict[str, Any] = {}
    if options.model:
        description = engine.describe(options.model, "cpu", engine=options.engine, threads=options.threads)
        description["factory"] = options.factory
    figures = measure(options.pairs, options.run, description)
    record = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "pairs": options.pairs,
        "run": options.run,
        "model": os.path.basename(options.model) if options.model else None,
    }
    record.update({name: round(value, 4) for name, value in figures.items()})
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
