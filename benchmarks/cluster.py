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


def alone(paths: List[str]) -> float:
    """Pictures a second of one process, two threads that decode and two of the engine."""
    with Classifier(device="cpu", threads=2) as classifier:
        for _ in classifier.stream(paths[:BATCH], decoders=2):
            pass
        began = time.perf_counter()
        errors = [result.error for result in classifier.stream(paths, decoders=2)]
        took = time.perf_counter() - began
    assert len(errors) == len(paths) and not any(errors)
    return len(paths) / took


def through_ray(paths: List[str], contents: bool) -> Tuple[float, float]:
    """Pictures a second of two actors, and the seconds until both had answered."""
    import ray

    began = time.perf_counter()
    source = ray.data.read_binary_files(paths, include_paths=True) if contents \
        else ray.data.from_items([{"path": path} for path in paths])
    answers = source.map_batches(Signed, fn_constructor_kwargs={"device": "cpu"}, batch_size=BATCH, concurrency=2,
                                 num_cpus=1)
    workers, seen, counted, since = set(), 0, 0, 0.0
    for batch in answers.iter_batches(batch_size=None, prefetch_batches=0):
        now = time.perf_counter()
        assert not any(batch["error"])
        seen += len(batch["path"])
        if len(workers) < 2:
            workers.update(batch["worker"].tolist())
            since = now
        else:
            counted += len(batch["path"])
    took = time.perf_counter() - since
    assert seen == len(paths) and len(workers) == 2, (seen, workers)
    return counted / took, since - began


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
    told: Dict[str, List[float]] = {"process": [], "ray": [], "start_s": []}
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(folder, args.pictures, args.megapixels)
        for number in range(args.rounds):
            for name in ("process", "ray") if number % 2 else ("ray", "process"):
                if name == "process":
                    told["process"].append(alone(paths))
                else:
                    rate, start_s = through_ray(paths, args.bytes)
                    told["ray"].append(rate)
                    told["start_s"].append(start_s)
    ray.shutdown()
    shares = [mine / its for mine, its in zip(told["ray"], told["process"])]
    print(json.dumps({
        "pictures": args.pictures, "megapixels": args.megapixels, "bytes": args.bytes, "cores": os.cpu_count(),
        "per_s": {name: [round(value, 1) for value in told[name]] for name in ("process", "ray")},
        "start_s": round(statistics.median(told["start_s"]), 1),
        "share": [round(value, 3) for value in shares], "median_share": round(statistics.median(shares), 3)}))


if __name__ == "__main__":
    main()
