"""How a stream compares with its slowest stage alone, and how it grows with decoding threads, on the CPU."""
from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

import numpy as np
from figures import Goal, Section, spread, table, turned
from material import Material

from coral_classify import Classifier, Session
from coral_classify.engine import open_session, usable_cores
from coral_classify.modelfiles import read_model
from coral_classify.pictures import prepare

DEVICE, DECODING = "the device alone", "decoding alone"
ENOUGH = 0.95       # of the slowest stage alone


def rates(works: Dict[str, Callable[[], object]], count: int, rounds: int) -> Tuple[Dict[str, List[float]],
                                                                                   Dict[str, List[float]]]:
    """Each work in turn: pictures per second, and CPU time of this process in ms a picture, of each round."""
    speed: Dict[str, List[float]] = {name: [] for name in works}
    cpu: Dict[str, List[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in turned(list(works), number):
            busy, began = time.process_time(), time.perf_counter()
            works[name]()
            took = time.perf_counter() - began
            if number:      # the first one warms up
                speed[name].append(count / took)
                cpu[name].append(1e3 * (time.process_time() - busy) / count)
    return speed, cpu


def decode_alone(pictures: Sequence[str], size: Tuple[int, int]) -> None:
    """All decoding threads, and nobody who waits for them."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(lambda picture: prepare(picture, size), pictures):
            pass


def run_alone(session: Session, count: int) -> None:
    """The session in a bare loop, always with the same input."""
    tensor = np.zeros(session.input.shape, session.input.dtype)
    for _ in range(count):
        session.run(tensor)


def drain(results: Iterable[Any], count: int) -> None:
    """Take all results; none may be missing or failed."""
    errors = [result.error for result in results]
    assert len(errors) == count and not any(errors), errors


def share(speed: Dict[str, List[float]], name: str) -> float:
    """Of the slower of both stages, round by round."""
    slowest = np.minimum(speed[DEVICE], speed[DECODING])
    return float(np.median(np.asarray(speed[name]) / slowest))


def section(material: Material) -> Section:
    pictures = sorted(os.path.join(material.many, name) for name in os.listdir(material.many))
    count, cores = len(pictures), usable_cores()
    with Classifier(material.model, device="cpu", threads=material.threads) as classifier, \
            open_session(read_model(classifier.model), threads=material.threads) as session:
        size = (session.input.shape[2], session.input.shape[1])
        works: Dict[str, Callable[[], object]] = {
            DEVICE: lambda: run_alone(session, count), DECODING: lambda: decode_alone(pictures, size)}
        for decoders in (1, 2, 4):
            works["stream, decoders=%d" % decoders] = lambda n=decoders: drain(
                classifier.stream(pictures, decoders=n), count)
        works["stream"] = lambda: drain(classifier.stream(pictures), count)
        speed, cpu = rates(works, count, (material.rounds + 2) // 3)
    one = float(np.median(speed["stream, decoders=1"]))
    titles = {DEVICE: "inference alone, engine threads: %d" % material.threads,
              DECODING: "decoding alone, threads: %d" % cores, "stream": "stream, as it comes"}
    rows = [[titles.get(name, name), spread(speed[name], "%.0f"),
             "%.2f" % (float(np.median(speed[name])) / one) if name.startswith("stream") else "",
             "%.0f %%" % (100 * share(speed, name)) if name.startswith("stream") else ""] for name in works]
    found = share(speed, "stream")
    needed = float(np.median(cpu[DEVICE]) + np.median(cpu[DECODING]))
    allowed = 1e3 * cores / needed
    slowest = min(float(np.median(speed[DEVICE])), float(np.median(speed[DECODING])))
    return Section(
        "Growth with decoding threads, on the CPU",
        "%d files of the JPEG.\n\n%s\n\nBoth stages use the CPU: together they need %.2f ms of it a picture, so the "
        "usable cores (%d), if nothing else runs there, allow %.0f pictures/s: %.0f %% of the slowest stage alone." % (
            count, table(["what", "pictures/s", "against one decoder", "of the slowest stage"], rows), needed, cores,
            allowed, 100 * allowed / slowest),
        [Goal("folder on the CPU: at least 95 % of the slowest stage alone",
              "%.0f %% (the cores allow %.0f %%)" % (100 * found, min(100.0, 100 * allowed / slowest)),
              found >= ENOUGH)])
