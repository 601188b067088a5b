"""A classification on the accelerator, timed, and compared with the CPU twin: what counts in the end."""
from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Union

import numpy as np

from .. import arguments
from ..edgetpu import AcceleratorRecord, reasons
from ..errors import CoralClassifyError, DeviceError
from ..locations import home
from ..modelfiles import compiled_path, passports, read_model, twin_path
from ..placement import twin_of
from .finding import Check

__all__ = ["attempt", "classify_on_cpu", "compare_with_twin"]

_USB2 = 480             # Mbit/s
_TRIALS = 20            # inferences that are timed, after the first, which carries the weights to the device


def classify_on_cpu(model: Union[str, Path, None]) -> Check:
    from ..classifier import Classifier

    try:
        with Classifier(model, device="cpu") as classifier:
            result = classifier.classify(_picture(classifier, 0))
    except CoralClassifyError as exc:
        return Check("classification", "problem", str(exc), "", "coral-classify models")
    return Check("classification", "ok", "a picture was classified on the CPU, as asked",
                 "%s, %.1f ms" % (os.path.basename(result.model), result.inference_ms))


def attempt(model: Union[str, Path, None], device: str, devices: List[AcceleratorRecord],
            shared: bool) -> Iterator[Check]:
    if not devices and not shared:
        yield Check("classification", "problem", "nothing was tried: there is no Edge TPU", "",
                    "coral-classify doctor --device cpu, to check the CPU alone")
        return
    try:
        path = _compiled(model)
    except CoralClassifyError as exc:
        yield _failed("classification", exc)
        return
    if path is None:
        yield Check("classification", "problem", "no compiled model is at hand to try" if model is None else
                    "model %s: is not compiled for the Edge TPU, and no compiled file lies beside it" % model, "",
                    "coral-classify models pull mobilenet-v2, or: coral-classify doctor --model X_edgetpu.tflite")
        return
    from ..classifier import Classifier

    try:
        # Not "auto", which would go on on the CPU.
        name = "shared" if shared else devices[0].type if device == "auto" else device
        with Classifier(path, device=name, on_device_loss="raise",
                        on_event=lambda event: None) as classifier:
            picture = _picture(classifier, 0)
            classifier.classify(picture)
            times = [classifier.classify(picture).inference_ms for _ in range(_TRIALS)]
            used = classifier.device
    except CoralClassifyError as exc:
        yield _failed("classification", exc)
        return
    median = statistics.median(times)
    yield Check("classification", "ok", "%s classified on %s" % (path.name, used), "median %.1f ms" % median)
    yield from _speed(path, median, [record for record in devices if record.name == used])
    twin = twin_path(path)
    if model is not None and twin.is_file():
        try:
            yield compare_with_twin(path, used)
        except CoralClassifyError as exc:       # it was lost on the way, say: what was found so far still counts
            yield _failed("twin", exc)


def _failed(name: str, exc: CoralClassifyError) -> Check:
    evidence = exc.evidence if isinstance(exc, DeviceError) else ""
    return Check(name, "problem", _without_advice_for_others(str(exc)), evidence, _command_for(exc))


def _without_advice_for_others(message: str) -> str:
    """Who reads this asks the doctor already, and nothing goes on in the background when it has ended."""
    clauses = message.split("; ")
    return "; ".join(clause for clause in clauses if "coral-classify doctor" not in clause and
                     clause != reasons.TRIED_AGAIN)


def _command_for(exc: CoralClassifyError) -> str:
    if isinstance(exc, DeviceError):
        if exc.cause == "no-permission" and "/apex" in exc.evidence:
            return reasons.ALLOW_PCIE
        return reasons.MENDS.get(exc.cause, "replug the device, try another cable, port or power supply")
    return "coral-classify models verify"


def _compiled(model: Union[str, Path, None]) -> Optional[Path]:
    """The compiled file to try.

    :raises ModelError: if the file that was named is missing or broken
    """
    if model is not None:
        path = Path(model)
        if not os.path.exists(str(compiled_path(path))):
            read_model(path)
        for candidate in (path, compiled_path(path)):
            if candidate.is_file() and read_model(candidate).compiled:
                return candidate
        return None
    candidates = (home() / "models").glob("*_edgetpu.tflite")
    return min(candidates, key=lambda path: path.stat().st_size, default=None)


def _speed(path: Path, median: float, records: List[AcceleratorRecord]) -> Iterator[Check]:
    passport = passports.by_file(path)
    latency = (passport.latency_ms if passport else None) or {}
    published = latency.get("usb_accelerator" if records and records[0].type == "usb" else "dev_board")
    if published is None:
        return
    said = "measured %.1f ms, published %.1f ms" % (median, published)
    if median <= 2.0 * published + 1.0:
        yield Check("speed", "ok", "an inference takes as long as it should", said)
    else:
        slow = any(record.link_speed is not None and record.link_speed <= _USB2 for record in records)
        yield Check("speed", "warning", "inferences are slow%s" % (": USB 2 cable or port" if slow else ""), said,
                    "use USB 3" if slow else "check heat, the clock (--performance max) and what else uses the device")


def compare_with_twin(compiled: Path, device: str, pictures: Sequence[Any] = (), count: int = 20) -> Check:
    """Whether a compiled model and its CPU twin agree.

    :param device: the Edge TPU to use
    :param pictures: what to classify (paths, arrays); empty: *count* pictures of random blocks
    :raises CoralClassifyError: if one of them cannot be opened, or does not answer
    """
    from ..classifier import Classifier

    compiled = Path(arguments.file("compiled", compiled))
    arguments.text("device", device)
    pictures = list(arguments.pictures("pictures", pictures))
    count = arguments.whole("count", count, least=1)
    twin = twin_of(read_model(compiled))
    if twin is None:
        return Check("twin", "warning", "the CPU twin %s is not beside the compiled file" % twin_path(compiled).name,
                     str(compiled), "put it there, so that work can go on when the device is lost")
    same, largest = 0, 0.0
    with Classifier(compiled, device=device, on_device_loss="raise", on_event=lambda event: None) as tpu, \
            Classifier(twin.path, device="cpu") as cpu:
        shown = pictures or [_picture(cpu, seed) for seed in range(count)]
        for picture in shown:
            ours, theirs = (classifier.classify(picture, top_k=cpu.output.shape[1]) for classifier in (tpu, cpu))
            same += ours.predictions[0].class_id == theirs.predictions[0].class_id
            scores = {p.class_id: p.score for p in theirs.predictions}
            largest = max([largest] + [abs(p.score - scores[p.class_id]) for p in ours.predictions])
    evidence = "same class on %d of %d pictures, largest score difference %.3f" % (same, len(shown), largest)
    # A near tie may fall either way; a wrong twin disagrees on most pictures.
    if same >= 0.9 * len(shown) or largest <= 0.05:
        return Check("twin", "ok", "%s and %s agree" % (compiled.name, twin.path.name), evidence)
    return Check("twin", "problem",
                 "%s and %s do not agree: they are different networks, or the device computes wrongly"
                 % (compiled.name, twin.path.name), evidence, "coral-classify models pull NAME, for a pair that fits")


def _picture(classifier: Any, seed: int) -> "np.ndarray[Any, Any]":
    """Blocks of random colour: (height, width, 3) uint8."""
    height, width = classifier.input.shape[1:3]
    blocks = np.random.RandomState(seed).randint(0, 256, (7, 7, 3)).astype(np.uint8)
    rows, columns = (np.arange(size) * 7 // size for size in (height, width))
    return np.asarray(blocks[rows][:, columns])
