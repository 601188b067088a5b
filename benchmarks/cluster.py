"""Ray with two workers of one core each against one process with two threads, in one run, in alternation.

    python benchmarks/cluster.py [--pictures 600] [--megapixels 2] [--rounds 5] [--bytes]

The same pictures, the package's own model, the CPU.  Counted from the moment at which both workers have answered: what
Ray takes to start is told apart.  One JSON line.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from coral_classify import Classifier
from coral_classify.ray import RayClassifier

REPOSITORY = str(Path(__file__).resolve().parent.parent)
BATCH = 20


class Signed(RayClassifier):
    """Its rows tell who made them."""

    def __call__(self, batch: Any) -> Any:
        import pyarrow

        table = super().__call__(batch)
        return table.append_column("worker", pyarrow.array([os.getpid()] * table.num_rows))


def draw(folder: str, count: int, megapixels: float) -> List[str]:
    """Photographs as far as decoding goes: noise over slow colours.  A few contents under many names."""
    width, random = int((megapixels * 1e6 * 4 / 3) ** 0.5), np.random.RandomState(0)
    paths = []
    for number in range(count):
        path = os.path.join(folder, "%05d.jpg" % number)
        if number < 10:
            small = random.randint(0, 256, (12, 16, 3)).astype(np.uint8)
            smooth = np.asarray(Image.fromarray(small).resize((width, width * 3 // 4), Image.BICUBIC), np.int16)
            noisy = smooth + random.randint(-12, 13, smooth.shape)
            Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=90)
        else:
            os.link(paths[number % 10], path)
        paths.append(path)
    return paths


def cpu_of_tree() -> Dict[int, float]:
    """CPU seconds so far of this process and of each below it."""
    told: Dict[int, Tuple[int, float]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            told[int(entry)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    below, more = set(), {os.getpid()}
    while more:
        below |= more
        more = {pid for pid, (parent, _) in told.items() if parent in below} - below
    return {pid: told[pid][1] for pid in below}


def alone(paths: List[str]) -> Tuple[float, float]:
    """Pictures a second of one process, two threads that decode and two of the engine; CPU ms a picture."""
    with Classifier(device="cpu", threads=2) as classifier:
        for _ in classifier.stream(paths[:BATCH], decoders=2):
            pass
        began, busy = time.perf_counter(), time.process_time()
        errors = [result.error for result in classifier.stream(paths, decoders=2)]
        took, busy = time.perf_counter() - began, time.process_time() - busy
    assert len(errors) == len(paths) and not any(errors)
    return len(paths) / took, 1e3 * busy / len(paths)


def through_ray(paths: List[str], contents: bool) -> Tuple[float, float, float, float]:
    """Pictures a second of two actors; their CPU ms a picture; the seconds until both had answered; cores that the rest
    of Ray uses, this process among it."""
    import ray

    began = time.perf_counter()
    source = ray.data.read_binary_files(paths, include_paths=True) if contents \
        else ray.data.from_items([{"path": path} for path in paths])
    answers = source.map_batches(Signed, fn_constructor_kwargs={"device": "cpu"}, batch_size=BATCH, concurrency=2,
                                 num_cpus=1)
    workers, seen, counted, since = set(), 0, 0, 0.0
    before: Dict[int, float] = {}
    used: Dict[int, float] = {}
    for batch in answers.iter_batches(batch_size=None, prefetch_batches=0):
        now = time.perf_counter()
        assert not any(batch["error"])
        seen += len(batch["path"])
        if len(workers) < 2:
            workers.update(batch["worker"].tolist())
            since, before = now, cpu_of_tree()
        else:
            counted += len(batch["path"])
            last = now
            used.update({pid: busy - before.get(pid, 0.0) for pid, busy in cpu_of_tree().items()})
    assert seen == len(paths) and len(workers) == 2, (seen, workers)
    mine = sum(used[pid] for pid in workers)
    return (counted / (last - since), 1e3 * mine / counted, since - began,
            (sum(used.values()) - mine) / (last - since))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytes", action="store_true", help="Ray reads the files, and workers get their content")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = REPOSITORY       # of Ray's workers
    import ray

    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=200 << 20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    told: Dict[str, List[Tuple[float, ...]]] = {"process": [], "ray": []}
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(folder, args.pictures, args.megapixels)
        for number in range(args.rounds):
            for name in ("process", "ray") if number % 2 else ("ray", "process"):
                told[name].append(alone(paths) if name == "process" else through_ray(paths, args.bytes))
    ray.shutdown()
    shares = [mine[0] / its[0] for mine, its in zip(told["ray"], told["process"])]
    print(json.dumps({
        "pictures": args.pictures, "megapixels": args.megapixels, "bytes": args.bytes, "cores": os.cpu_count(),
        "per_s": {name: [round(one[0], 1) for one in told[name]] for name in told},
        "cpu_ms": {name: [round(one[1], 2) for one in told[name]] for name in told},
        "start_s": round(statistics.median(one[2] for one in told["ray"]), 1),
        "share": [round(value, 3) for value in shares], "median_share": round(statistics.median(shares), 3),
        "rest_cores": round(statistics.median(one[3] for one in told["ray"]), 3)}))


if __name__ == "__main__":
    main()
