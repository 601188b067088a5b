"""Simulated accelerators with a latency of their own: what a stream makes of one, and how a Pool grows with several.

Each has a worker process, as a real one would.
"""
from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, Iterator, List

import numpy as np
from figures import Goal, LeftOut, Section, ratio, spread, table, turned
from material import Material, simulate
from streams import DECODING, DEVICE, ENOUGH, decode_alone, drain, rates, run_alone, share

from coral_classify import Classifier, Pool
from coral_classify.supervision import SupervisedSession

COUNTS = (1, 2, 4)
INVOKE_MS = 5
ENOUGH_TIMES = 3.8
ONE_GOAL = "folder on one simulated accelerator: at least 95 % of the slowest stage alone"
SEVERAL_GOAL = "4 simulated accelerators: at least 3.8 times one"


def sections(material: Material, folder: Path) -> Iterator[Section]:
    try:
        model = simulate(folder, devices=max(COUNTS), invoke_ms=INVOKE_MS)
    except LeftOut as exc:
        why = "left out: %s" % exc
        yield Section("Simulated accelerators", why, [Goal(text, why, None) for text in (ONE_GOAL, SEVERAL_GOAL)])
        return
    yield _one(material, model)
    yield _several(material, model)


def _one(material: Material, model: str) -> Section:
    count = len(material.small)
    with Classifier(model, device="usb:0") as classifier, SupervisedSession.open(model, "usb:0") as session:
        works: Dict[str, Callable[[], object]] = {
            DEVICE: lambda: run_alone(session, count), DECODING: lambda: decode_alone(material.small, (224, 224)),
            "stream": lambda: drain(classifier.stream(material.small), count)}
        speed, _ = rates(works, count, (material.rounds + 2) // 3)
    found = share(speed, "stream")
    return Section(
        "One simulated accelerator",
        "It takes %d ms for an inference of 224 × 224 × 3; %d JPEGs of half the size. Alone: the supervised session in "
        "a bare loop, and all decoding threads with no device.\n\n%s" % (INVOKE_MS, count, table(
            ["what", "pictures/s", "of the slowest stage"],
            [[name, spread(speed[name], "%.0f"), "%.1f %%" % (100 * found) if name == "stream" else ""]
             for name in works])),
        [Goal(ONE_GOAL, "%.1f %%" % (100 * found), found >= ENOUGH)])


def _several(material: Material, model: str) -> Section:
    count = 2 * len(material.small)
    array = np.random.RandomState(0).randint(0, 256, (224, 224, 3)).astype(np.uint8)
    speed: Dict[int, List[float]] = {number: [] for number in COUNTS}
    for number in range((material.rounds + 2) // 3):
        for devices in turned(COUNTS, number):
            with Pool(model, devices=["usb:%d" % i for i in range(devices)]) as pool:
                drain(pool.stream([array] * 4 * devices), 4 * devices)      # warm
                work: Dict[str, Callable[[], object]] = {
                    "pool": lambda: drain(pool.stream([array] * count), count)}     # noqa: B023
                speed[devices].append(rates(work, count, 1)[0]["pool"][0])
    times = {devices: ratio(speed[devices], speed[1]) for devices in COUNTS}
    return Section(
        "Several simulated accelerators",
        "`Pool`, %d ms for an inference on each, arrays that need no decoding.\n\n%s" % (INVOKE_MS, table(
            ["accelerators", "pictures/s", "times one"],
            [[str(n), spread(speed[n], "%.0f"), "%.2f" % times[n]] for n in COUNTS])),
        [Goal(SEVERAL_GOAL, "%.2f times" % times[4], times[4] >= ENOUGH_TIMES)])
