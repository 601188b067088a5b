"""``coral-classify bench``: what this machine does with a model, stage by stage."""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Union

from .options import add_options, guarded

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..pool import Pool

__all__ = ["main"]

_WARM = 5       # inferences before the clock starts; the first carries the weights to the device


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="coral-classify bench",
        description="Measure cold start, load, preprocessing, inference, decoding and pictures "
                    "per second; a drawn photograph of 512 x 384, unless --picture names one.")
    parser.add_argument("--picture", metavar="FILE")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="how often (default: 100)")
    add_options(parser)
    args = parser.parse_args(argv)
    if args.count < 1:
        print("coral-classify: --count must be at least 1, got %d" % args.count, file=sys.stderr)
        return 2
    began = time.perf_counter()
    return guarded(args, lambda classifier, args: _bench(classifier, args, 1e3 * (time.perf_counter() - began)))


def _bench(classifier: "Union[Classifier, Pool]", args: argparse.Namespace, load_ms: float) -> int:
    from ..modelfiles import passports
    from ..pictures import HELD_BYTES
    from ..reading import read_file

    picture: Any = _drawn()
    if args.picture is not None:
        classifier.classify(args.picture)       # one that cannot be read is named
        picture = read_file(args.picture, HELD_BYTES)
    prepare, infer, decode, whole = [], [], [], []
    for number in range(_WARM + args.count):
        began = time.perf_counter()
        result = classifier.classify(picture, top_k=args.top_k)
        total = 1e3 * (time.perf_counter() - began)
        if number >= _WARM:
            prepare.append(result.preprocess_ms)
            infer.append(result.inference_ms)
            decode.append(total - result.preprocess_ms - result.inference_ms)
            whole.append(total)
    began = time.perf_counter()
    for _ in classifier.stream([picture] * args.count, decoders=args.decoders, top_k=args.top_k):
        pass
    rate = args.count / (time.perf_counter() - began)
    passport = passports.by_file(_path(classifier.model))
    record: Dict[str, Any] = {
        "model": classifier.model, "device": classifier.device, "device_reason": classifier.device_reason,
        "cold_start_ms": round(_cold_start_ms(args), 1), "load_ms": round(load_ms, 1),
        "preprocess_ms": _percentiles(prepare), "inference_ms": _percentiles(infer), "decode_ms": _percentiles(decode),
        "whole_ms": _percentiles(whole), "stream_pictures_per_s": round(rate, 1),
        "published_edgetpu_ms": passport.latency_ms if passport else None,
    }
    if args.json:
        print(json.dumps(record))
        return 0
    print("%s on %s (%s)" % (record["model"], record["device"], record["device_reason"]))
    print("  cold start %8.1f ms   (a new process: start, load, one picture)" % record["cold_start_ms"])
    print("  load       %8.1f ms   (imports, engine, model, device)" % record["load_ms"])
    print("  %-10s %8s %8s %8s %8s" % ("ms", "median", "p90", "p99", "worst"))
    for name in ("preprocess", "inference", "decode", "whole"):
        print("  %-10s %8.2f %8.2f %8.2f %8.2f" % ((name,) + tuple(record[name + "_ms"].values())))
    print("  stream     %8.1f pictures/s" % rate)
    published = record["published_edgetpu_ms"]
    if published:
        print("  published  %s" % ", ".join("%g ms on the %s" % (ms, name.replace("_", " "))
                                              for name, ms in published.items()))
    return 0


def _path(model: str) -> Any:
    from pathlib import Path

    return Path(model)


def _percentiles(values: Sequence[float]) -> Dict[str, float]:
    ordered = sorted(values)
    return {name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
            for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("worst", 1.0))}


def _drawn() -> bytes:
    """A JPEG with the detail of a photograph: smooth colours and grain."""
    import io

    import numpy as np
    from PIL import Image

    random = np.random.RandomState(1)
    coarse = Image.fromarray(random.randint(0, 256, (12, 16, 3)).astype(np.uint8)).resize((512, 384))
    grain = np.asarray(coarse).astype(int) + random.randint(-12, 13, (384, 512, 3))
    picture = io.BytesIO()
    Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).save(picture, "JPEG", quality=90)
    return picture.getvalue()


def _cold_start_ms(args: argparse.Namespace) -> float:
    """The median wall time of three runs of the command line on the same picture."""
    picture = None if args.picture is not None else _drawn()
    command = [sys.executable, "-m", "coral_classify", args.picture or "-", "--device", args.device, "--json"]
    command += ["--model", args.model] if args.model else []
    command += ["--labels", args.labels] if args.labels else []
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, input=picture, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(1e3 * (time.perf_counter() - began))
    return sorted(times)[1]
