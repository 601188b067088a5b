"""Several devices as one: pictures go to whichever is free, results come in order, each once."""
from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
    Union,
)

from .. import arguments, edgetpu
from ..classifier import Classifier, Number
from ..edgetpu import list_devices
from ..engine import usable_cores
from ..errors import CoralClassifyError, DeviceError, UsageError
from ..pictures import Picture
from ..placement import check_device
from ..streaming import stream
from ..types import Answer, Result, Session, TensorSpec, Wanted
from .opening import opened_at_once, wake

if TYPE_CHECKING:
    import numpy as np

    from ..events import Event

__all__ = ["Pool"]

_Answered = TypeVar("_Answered")
_log = logging.getLogger("coral_classify")


_LOOK_S = 1.0   # between two looks for an accelerator that was plugged in; looking opens nothing


class Pool:
    """One model on several devices, with the ``stream``, ``classify`` and ``close`` of a :class:`Classifier`.

    A picture whose device is lost goes to another one; the lost device takes pictures again once it is back.  While all
    are away, the CPU twin of the model answers; without one, a picture waits for 30 s and then gets an error.
    A pool of "all" takes up an accelerator that is plugged in later, also in the middle of a stream.
    """

    def __init__(
        self,
        model: Union[str, "os.PathLike[str]", None] = None,
        *,
        devices: Union[str, Sequence[str]] = "all",
        labels: Union[str, "os.PathLike[str]", Sequence[str], None] = None,
        engine: Optional[str] = None,
        threads: Optional[int] = None,
        mean: Optional[Number] = None,
        std: Optional[Number] = None,
        fit: str = "squash",
        max_pixels: Optional[int] = None,
        max_picture_bytes: Optional[int] = None,
        performance: Optional[str] = None,
        supervised: Optional[bool] = None,
        deadline_ms: float = 10000.0,
        on_event: Optional[Callable[["Event"], None]] = None,
    ) -> None:
        """
        :param devices: "all": every Edge TPU that opens, or the CPU if none does; or names: ["usb:0", "usb:1", "cpu"]
        :param threads: CPU threads of a "cpu" among the devices; None: half of the usable cores, the others decode
        :param model, labels, engine, mean, std, fit, max_pixels, max_picture_bytes, performance, supervised,
            deadline_ms, on_event: as for :class:`Classifier`
        :raises UsageError: for an empty list of devices, or an unknown name
        :raises DeviceError: if a device that was named does not open
        """
        if isinstance(model, Session):
            raise arguments.wrong("model", "the path or the name of a model; a session is for Classifier", model)
        if not isinstance(devices, str):
            devices = arguments.texts("devices", devices, '"all", or a list of devices')
        everything = devices == "all"
        if threads is not None:
            threads = arguments.whole("threads", threads, least=1, most=1024)
        labels = arguments.labels(labels)       # gone through once, for all devices
        mean, std = arguments.channels("mean", mean), arguments.channels("std", std)
        named = [device.name for device in list_devices()] if everything else \
            [devices] if isinstance(devices, str) else list(devices)
        if not named and not everything:
            raise UsageError("devices must name at least one device, got %r" % (devices,))
        for device in named:
            check_device(device)        # before the first one opens
        self._classifiers: List[Classifier] = []
        # The others are the way on, not the twin of each; without others the twin is.
        self._others = len(named) > 1

        def opened(device: str) -> Classifier:
            return Classifier(
                model, labels=labels, device=device, engine=engine,
                threads=threads or (max(1, usable_cores() // 2) if device == "cpu" else None), mean=mean, std=std,
                fit=fit, max_pixels=max_pixels, max_picture_bytes=max_picture_bytes, performance=performance,
                supervised=supervised, deadline_ms=deadline_ms,
                on_device_loss="raise" if self._others else "cpu", on_event=on_event)

        self._open = opened
        self._turn = 0
        self._stand_in: Optional[Classifier] = None     # opened when every device is lost
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._left_out: Set[str] = set()
        failures: List[DeviceError] = []
        try:
            if len(named) > 1:
                wake(opened, None if everything else named)
                named = [device.name for device in list_devices()] if everything else named
            for device, outcome in zip(named, opened_at_once(opened, named, supervised is not False)):
                if isinstance(outcome, Classifier):
                    self._classifiers.append(outcome)
                else:
                    self._left_out.add(device)
                    _log.warning("%s is left out: %s", device, outcome)
                    failures.append(outcome)
            if failures and not everything:
                raise failures[0]
            if not self._classifiers:
                self._classifiers.append(opened("auto"))    # the CPU, with the reason why
        except BaseException:
            self.close()
            raise
        if everything and supervised is not False:
            threading.Thread(target=_look_for_more, args=(weakref.ref(self), self._over), name="coral-classify-pool",
                             daemon=True).start()

    def _take_up_more(self) -> None:
        """Open what was plugged in since the last look."""
        # While one is away, names may have shifted; and where the CPU stands in, the session looks for itself.
        if any(classifier.trouble is not None or classifier.device == "cpu" for classifier in self._classifiers):
            return
        listed = edgetpu.listed()
        self._left_out.intersection_update(listed)
        for device in listed:
            if device in self.devices or device in self._left_out:
                continue
            try:
                more = self._open(device)
            except CoralClassifyError as exc:
                self._left_out.add(device)
                _log.warning("%s is left out: %s", device, exc)
                continue
            with self._lock:
                if not self._over.is_set():
                    self._classifiers.append(more)
                    _log.warning("%s was plugged in and takes pictures, too", device)
                    continue
            more.close()

    @property
    def devices(self) -> Tuple[str, ...]:
        """The devices in use."""
        return tuple(classifier.device for classifier in self._classifiers)

    @property
    def device(self) -> str:
        """The devices in use, in one word: "usb:0,usb:1"."""
        return ",".join(self.devices)

    @property
    def device_reason(self) -> str:
        """Why these devices."""
        return "; ".join(dict.fromkeys(classifier.device_reason for classifier in self._classifiers))

    @property
    def model(self) -> str:
        """The model's file, on the first device."""
        return self._classifiers[0].model

    @property
    def content_id(self) -> Optional[str]:
        """Git's id of that file; None for a session that was given."""
        return self._classifiers[0].content_id

    @property
    def compiled(self) -> Optional[bool]:
        """Whether that file is one for the Edge TPU; None for a session that was given."""
        return self._classifiers[0].compiled

    @property
    def closed(self) -> bool:
        return all(classifier.closed for classifier in self._classifiers)

    def classify(self, image: Picture, *, top_k: int = 5, threshold: Optional[float] = None,
                 allow: Optional[Iterable[Union[str, int]]] = None, deny: Optional[Iterable[Union[str, int]]] = None,
                 region: Optional[Sequence[float]] = None, rotate: int = 0) -> Result:
        """Classify one picture; see :meth:`Classifier.classify`.

        :raises CoralClassifyError: what ``Classifier.classify`` raises; DeviceError if no device could answer
        """
        return self._by_any(self._classifiers, lambda one: one.classify(
            image, top_k=top_k, threshold=threshold, allow=allow, deny=deny, region=region, rotate=rotate))

    def stream(
        self,
        pictures: Iterable[Optional[Picture]],
        *,
        ahead: int = 8,
        decoders: Optional[int] = None,
        max_bytes: int = 64 << 20,
        top_k: int = 5,
        threshold: Optional[float] = None,
        allow: Optional[Iterable[Union[str, int]]] = None,
        deny: Optional[Iterable[Union[str, int]]] = None,
        region: Optional[Sequence[float]] = None,
        rotate: int = 0,
    ) -> Iterator[Result]:
        """Classify many pictures on all devices, in order; see :meth:`Classifier.stream`.

        :param ahead: how many pictures to prepare beyond those that the devices work on
        :raises UsageError: at once, for a parameter that cannot be meant
        """
        wanted = self.wanted(top_k, threshold, allow, deny, region, rotate)
        return stream(self._classifiers, pictures, wanted, ahead=ahead, decoders=decoders, max_bytes=max_bytes,
                      stand_in=self._cpu_twin if self._others else None)

    def run(self, tensor: "np.ndarray[Any, Any]") -> "Tuple[np.ndarray[Any, Any], Answer]":
        """The model alone, on the devices in turn; see :meth:`Classifier.run`.

        :raises DeviceError: if no device could answer
        """
        self._turn += 1
        first = self._turn % len(self._classifiers)
        return self._by_any(self._classifiers[first:] + self._classifiers[:first], lambda one: one.run(tensor))

    def _by_any(self, classifiers: Sequence[Classifier], ask: Callable[[Classifier], _Answered]) -> _Answered:
        """What the first of them gives that is not lost; the stand-in, if all are."""
        trouble: Optional[DeviceError] = None
        for classifier in classifiers:
            try:
                return ask(classifier)
            except DeviceError as exc:
                trouble = exc
        assert trouble is not None
        stand_in = self._cpu_twin() if self._others else None
        if stand_in is None:
            raise trouble
        return ask(stand_in)

    @property
    def input(self) -> TensorSpec:
        return self._classifiers[0].input

    @property
    def output(self) -> TensorSpec:
        return self._classifiers[0].output

    def _cpu_twin(self) -> Optional[Classifier]:
        """What answers while every device is lost; None without a CPU twin of the model."""
        with self._lock:
            if self._stand_in is None and not self.closed:
                try:
                    self._stand_in = self._open("cpu")
                except CoralClassifyError as exc:
                    _log.warning("every device is lost, and nothing stands in for them: %s", exc)
                else:
                    _log.warning("going on on the CPU while every device is away")
            return self._stand_in

    def wanted(self, top_k: int = 5, threshold: Optional[float] = None,
               allow: Optional[Iterable[Union[str, int]]] = None, deny: Optional[Iterable[Union[str, int]]] = None,
               region: Optional[Sequence[float]] = None, rotate: int = 0) -> Wanted:
        """The parameters of :meth:`classify`, checked; see :meth:`Classifier.wanted`."""
        return self._classifiers[0].wanted(top_k, threshold, allow, deny, region, rotate)

    def failed(self, image: Picture, exc: Exception) -> Result:
        """The result for a picture that could not be classified."""
        return self._classifiers[0].failed(image, exc)._replace(device=self.device, device_reason=self.device_reason)

    def close(self) -> None:
        """Release model and devices.  May be called twice."""
        with self._lock:
            self._over.set()
        for classifier in self._classifiers:
            classifier.close()
        with self._lock:
            if self._stand_in is not None:
                self._stand_in.close()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _look_for_more(pool: "weakref.ref[Pool]", over: threading.Event) -> None:
    """The work of a pool's own thread, which does not keep a forgotten pool alive."""
    while not over.wait(_LOOK_S):
        owner = pool()
        if owner is None:
            return
        owner._take_up_more()
        del owner
