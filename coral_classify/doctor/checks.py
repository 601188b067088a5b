"""Why does my Coral not work?  Checks from Python to the chip, each with cause, evidence and the command that mends it.

Every check is a function of its own; :func:`examine` runs them in order.  What could crash or hang (the driver) runs in
a supervised child process.
"""
from __future__ import annotations

import importlib.util
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from .. import arguments, edgetpu
from ..edgetpu import AcceleratorRecord, System, list_devices, narrow_user_land, reasons, sensible
from ..engine import advice, load_engine
from ..errors import CoralClassifyError, DeviceError, EngineNotFound
from ..locations import home
from ..modelfiles import compiled_path, passports, read_model, twin_path
from ..placement import twin_of

__all__ = ["Check", "compare_with_twin", "examine"]

_USB2 = 480             # Mbit/s
_TRIALS = 20            # inferences that are timed, after the first, which carries the weights to the device


class Check(NamedTuple):
    """One finding."""

    name: str           # "python", "permission"
    status: str         # "ok", "warning" or "problem"
    cause: str          # one line: what is so
    evidence: str = ""  # the facts behind it
    command: str = ""   # what mends it


class Findings(NamedTuple):
    """All of them, and the answer."""

    checks: List[Check]
    works: bool         # a classification on the TPU, or on the CPU where that was asked for, gave an answer


def examine(model: Union[str, Path, None] = None, device: str = "auto", system: Optional[System] = None) -> Findings:
    """Run all checks.

    :param model: path of a compiled model (or of its twin) to try; None: one that is at hand
    :param device: "auto", "cpu" (an accelerator is not wanted), or one by name
    :param system: where to look; None: this machine.  On another one's files, nothing is opened.
    """
    if model is not None:
        arguments.file("model", model)
    arguments.text("device", device)
    if device not in ("auto", "cpu"):
        edgetpu.match(device, [])
    here = system is None
    if system is not None:
        arguments.instance("system", system, System)
    system = system or System()
    checks = list(_python(system)) + list(_engine()) + list(_pycoral())
    if device == "cpu":
        return _finish(checks, [_classify_on_cpu(model)])
    checks += list(_library(system))
    devices = list_devices(system)
    checks += list(_bus(devices, device, system))
    for record in devices:
        checks += list(_device(record))
    checks += list(_temperature(system))
    return _finish(checks, list(_try(model, device, devices)) if here else [])


def _finish(checks: List[Check], trial: List[Check]) -> Findings:
    works = any(check.name == "classification" and check.status != "problem" for check in trial)
    return Findings(checks + trial, works)


def _python(system: System) -> Iterator[Check]:
    machine = platform.machine()
    board = system.board()
    bits = 64 if sys.maxsize > 1 << 32 else 32
    evidence = "%s, %s%s" % (sys.executable, machine, ", " + board if board else "")
    said = "Python %s, %d bit%s" % (platform.python_version(), bits,
                                    " on a 64-bit kernel" if narrow_user_land(machine) else "")
    to_get = advice(sys.version_info[:2], bits, machine)
    if to_get.startswith("pip "):
        yield Check("python", "ok", said, evidence)
    else:
        reason, _, command = to_get.partition(": ")
        yield Check("python", "warning", "%s: %s" % (said, reason), evidence, command)
    page = _page_size()
    if board and "Raspberry Pi 5" in board and page != 4096 and system.pci_chips():
        yield Check("page size", "problem",
                    "the Edge TPU's PCIe driver needs pages of 4096 bytes; this kernel has %d" % page, board,
                    "echo kernel=kernel8.img | sudo tee -a /boot/firmware/config.txt, then restart")


def _page_size() -> int:
    return int(os.sysconf("SC_PAGE_SIZE")) if hasattr(os, "sysconf") else 4096


def _engine() -> Iterator[Check]:
    numpy = "NumPy %s" % np.__version__
    try:
        engine = load_engine()
    except EngineNotFound as exc:
        command = "pip install 'numpy<2'" if "NumPy" in str(exc) else advice()
        yield Check("engine", "problem", str(exc), numpy, command)
    except CoralClassifyError as exc:
        yield Check("engine", "problem", str(exc), numpy, "unset CORAL_CLASSIFY_ENGINE")
    else:
        yield Check("engine", "ok", "%s %s" % engine[:2], numpy)


def _pycoral() -> Iterator[Check]:
    """Google's PyCoral is welcome; the package of that name on the index is another project."""
    try:
        found = importlib.util.find_spec("pycoral")
    except (ImportError, ValueError):
        return
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        return
    if any(os.path.exists(os.path.join(folder, "utils", "edgetpu.py")) for folder in folders):
        yield Check("pycoral", "ok", "Google's PyCoral is installed; coral_classify does not need it", folders[0])
    else:
        yield Check("pycoral", "warning",
                    "the installed package pycoral is not Google's PyCoral, but another project of that name",
                    folders[0], "pip uninstall pycoral")


def _library(system: System) -> Iterator[Check]:
    name = edgetpu.library_name()
    try:
        version = edgetpu.version()
    except DeviceError as exc:
        command = {"no-library": "sudo apt install libedgetpu1-std", "no-libusb": "sudo apt install libusb-1.0-0"}
        yield Check("driver", "problem", str(exc), exc.evidence,
                    command.get(exc.cause, "sudo apt install --reinstall libedgetpu1-std"))
        return
    variant = system.clock_variant()
    evidence = "%s%s" % (system.locate(name) or name, ", package libedgetpu1-" + variant if variant else "")
    if variant == "max":
        yield Check("driver", "warning", "libedgetpu %s at the maximum clock: the stick gets hot, keep the air around "
                    "it below 25 °C" % version, evidence, "sudo apt install libedgetpu1-std")
    else:
        yield Check("driver", "ok", "libedgetpu %s" % version, evidence)


def _bus(devices: List[AcceleratorRecord], wanted: str, system: System) -> Iterator[Check]:
    if devices:
        yield Check("accelerator", "ok", "attached: %s" % ", ".join(record.name for record in devices),
                    ", ".join(record.path for record in devices))
        return
    error = reasons.absent(wanted, [], system)
    command = "sudo apt install gasket-dkms" if error.cause == "no-pcie-driver" else reasons.where_to_look(wanted)
    yield Check("accelerator", "problem", str(error), error.evidence, command)


def _device(record: AcceleratorRecord) -> Iterator[Check]:
    allow = reasons.ALLOW_PCIE if record.type == "pci" else reasons.ALLOW_USB
    if record.state == "no permission":
        yield Check("permission", "problem", "this user may not open %s" % record.name, record.note, allow)
    elif record.state == "busy":
        yield Check("busy", "warning", "%s is open in another process" % record.name, record.note,
                    "end that process, or name another device with --device")
    elif record.state == "lost":
        yield Check("chip", "problem", "%s does not answer" % record.name, record.note, "sudo reboot")
    elif record.state == "not initialised":
        yield Check("firmware", "ok", "%s has not taken the driver's download yet; its first opening takes about 4 s"
                    % record.name, record.path)
    if record.link_speed is not None and record.link_speed <= _USB2:
        yield Check("link", "warning", "%s hangs on USB 2: expect 10 ms for MobileNet v2, not 2.5" % record.name,
                    "%d Mbit/s" % record.link_speed, "use a USB 3 port (blue) and the cable that came with it")
    elif record.link_speed is not None:
        yield Check("link", "ok", "%s hangs on USB 3" % record.name, "%d Mbit/s" % record.link_speed)


def _temperature(system: System) -> Iterator[Check]:
    for chip in system.pci_chips():
        if chip.temperature is None or not sensible(chip.temperature):
            continue
        reached = [trip for trip in chip.trip_points if chip.temperature >= trip]
        evidence = "trip points at %s °C" % ", ".join("%.0f" % trip for trip in chip.trip_points)
        if reached:
            yield Check("temperature", "warning",
                        "%s is at %.1f °C and lowers its clock" % (chip.path, chip.temperature), evidence,
                        "give it air, or a heat sink")
        else:
            yield Check("temperature", "ok", "%s is at %.1f °C" % (chip.path, chip.temperature), evidence)


# ---- trying it


def _classify_on_cpu(model: Union[str, Path, None]) -> Check:
    from ..classifier import Classifier

    try:
        with Classifier(model, device="cpu") as classifier:
            result = classifier.classify(_picture(classifier, 0))
    except CoralClassifyError as exc:
        return Check("classification", "problem", str(exc), "", "coral-classify models")
    return Check("classification", "ok", "a picture was classified on the CPU, as asked",
                 "%s, %.1f ms" % (os.path.basename(result.model), result.inference_ms))


def _try(model: Union[str, Path, None], device: str, devices: List[AcceleratorRecord]) -> Iterator[Check]:
    if not devices:
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
        with Classifier(path, device=devices[0].type if device == "auto" else device, on_device_loss="raise",
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
