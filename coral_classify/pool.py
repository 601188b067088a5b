"""Several devices as one: pictures go to whichever is free, results come in order, each once."""
from __future__ import annotations

import heapq
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from .classifier import Classifier, Number
from .devices import list_devices
from .engine import usable_cores
from .errors import CoralClassifyError, DeviceError, SessionClosed, UsageError
from .preprocess import Picture, name_of
from .streaming import run_ahead
from .types import Result

if TYPE_CHECKING:
    from .keeper import Event

__all__ = ["Pool"]

_log = logging.getLogger("coral_classify")
_TRIES = 3          # devices that may be lost over one picture before it is given up
_PATIENCE_S = 30.0  # how long a picture may wait while every device is away


class Pool:
    """One model on several devices, with the ``stream``, ``classify`` and ``close`` of a :class:`Classifier`.

    A picture whose device is lost goes to another one; the lost device takes pictures again once it is back.  While all
    are away, a picture waits for 30 s and then gets an error; "cpu" among the devices answers it instead.
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
        performance: Optional[str] = None,
        supervised: Optional[bool] = None,
        deadline_ms: float = 10000.0,
        on_event: Optional[Callable[["Event"], None]] = None,
    ) -> None:
        """
        :param devices: "all": every Edge TPU that opens, or the CPU if none does; or names: ["usb:0", "usb:1", "cpu"]
        :param threads: CPU threads of a "cpu" among the devices; None: half of the usable cores, the others decode
        :param model, labels, engine, mean, std, fit, performance, supervised, deadline_ms, on_event: as for
            :class:`Classifier`
        :raises UsageError: for an empty list of devices
        :raises DeviceError: if a device that was named does not open
        """
        everything = devices == "all"
        named = [device.name for device in list_devices()] if everything else \
            [devices] if isinstance(devices, str) else list(devices)
        if not named and not everything:
            raise UsageError("devices must name at least one device, got %r" % (devices,))
        self._classifiers: List[Classifier] = []
        self._lock = threading.Lock()

        def opened(device: str) -> Classifier:
            return Classifier(
                model, labels=labels, device=device, engine=engine,
                threads=threads or (max(1, usable_cores() // 2) if device == "cpu" else None), mean=mean, std=std,
                fit=fit, performance=performance, supervised=supervised, deadline_ms=deadline_ms,
                # The others are the way on, not the twin of each; without others the twin is.
                on_device_loss="cpu" if len(named) <= 1 else "raise", on_event=on_event)

        try:
            for device in named:
                try:
                    self._classifiers.append(opened(device))
                except DeviceError as exc:
                    if not everything:
                        raise
                    _log.warning("%s is left out: %s", device, exc)
            if not self._classifiers:
                self._classifiers.append(opened("cpu"))
        except BaseException:
            self.close()
            raise

    @property
    def devices(self) -> Tuple[str, ...]:
        """The devices in use."""
        return tuple(classifier.device for classifier in self._classifiers)

    @property
    def closed(self) -> bool:
        return all(classifier.closed for classifier in self._classifiers)

    def classify(self, image: Picture, *, top_k: int = 5, threshold: Optional[float] = None,
                 allow: Optional[Iterable[Union[str, int]]] = None, deny: Optional[Iterable[Union[str, int]]] = None,
                 region: Optional[Sequence[float]] = None, rotate: int = 0) -> Result:
        """Classify one picture; see :meth:`Classifier.classify`.

        :raises CoralClassifyError: what ``Classifier.classify`` raises; DeviceError if no device could answer
        """
        trouble: Optional[DeviceError] = None
        for classifier in self._classifiers:
            try:
                return classifier.classify(image, top_k=top_k, threshold=threshold, allow=allow, deny=deny,
                                           region=region, rotate=rotate)
            except DeviceError as exc:
                trouble = exc
        assert trouble is not None
        raise trouble

    def stream(
        self,
        pictures: Iterable[Picture],
        *,
        ahead: int = 8,
        decoders: Optional[int] = None,
        top_k: int = 5,
        threshold: Optional[float] = None,
        allow: Optional[Iterable[Union[str, int]]] = None,
        deny: Optional[Iterable[Union[str, int]]] = None,
        region: Optional[Sequence[float]] = None,
        rotate: int = 0,
    ) -> Iterator[Result]:
        """Classify many pictures on all devices, in order; see :meth:`Classifier.stream`.

        :param ahead: how many pictures to decode beyond those that the devices work on
        :raises UsageError: at once, for a parameter that cannot be meant
        """
        first = self._classifiers[0]
        for name, value in (("ahead", ahead), ("decoders", decoders)):
            if value is not None and value < 1:
                raise UsageError("%s must be at least 1, got %r" % (name, value))
        first.check(top_k=top_k, region=region, rotate=rotate)
        among = first.among(allow, deny)

        def answer(classifier: Classifier, picture: Picture, ready: Any) -> Result:
            return classifier.answered(picture, ready, top_k, threshold, among)

        prepared = run_ahead(lambda picture: first.prepared(picture, region, rotate), pictures, ahead=ahead,
                             threads=min(ahead, decoders or usable_cores()))
        return _Shared(self._classifiers, prepared, answer).results()

    def close(self) -> None:
        """Release model and devices.  May be called twice."""
        for classifier in self._classifiers:
            classifier.close()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Shared:
    """One stream over several classifiers: a queue of pictures to be answered, and a thread for each classifier."""

    def __init__(self, classifiers: List[Classifier], prepared: "Iterator[Tuple[Picture, Any]]",
                 answer: Callable[[Classifier, Picture, Any], Result]) -> None:
        self._classifiers = classifiers
        self._prepared = prepared
        self._answer = answer
        self._changed = threading.Condition()
        self._to_do: "List[Tuple[int, int, Picture, Any]]" = []     # number, tries, picture, prepared: a heap by number
        self._done: Dict[int, Result] = {}
        self._away_since: Dict[int, float] = {}     # classifier -> since when its device is lost
        self._over = False

    def results(self) -> Iterator[Result]:
        threads = [threading.Thread(target=self._work, args=(i,), name="coral-classify-device", daemon=True)
                   for i in range(len(self._classifiers))]
        for thread in threads:
            thread.start()
        taken = given = 0
        more = True
        try:
            while True:
                # One picture at work on each device, and one ready behind it.
                while more and taken - given < 2 * len(threads):
                    try:
                        picture, future = next(self._prepared)
                    except StopIteration:
                        more = False
                        break
                    self._put(taken, picture, future)
                    taken += 1
                if given == taken:
                    return
                with self._changed:
                    while given not in self._done:
                        self._changed.wait(0.5)
                        self._give_up_if_all_are_away()
                    result = self._done.pop(given)
                given += 1
                yield result
        finally:
            with self._changed:
                self._over = True
                self._to_do.clear()
                self._changed.notify_all()
            self._prepared.close()      # type: ignore[attr-defined]
            for thread in threads:
                thread.join()

    def _put(self, number: int, picture: Picture, future: Any) -> None:
        exc = future.exception()
        with self._changed:
            if exc is None:
                heapq.heappush(self._to_do, (number, 0, picture, future.result()))
            elif isinstance(exc, CoralClassifyError):
                self._done[number] = self._failed(picture, exc)
            else:
                raise exc
            self._changed.notify_all()

    def _work(self, which: int) -> None:
        classifier = self._classifiers[which]
        while True:
            with self._changed:
                while not self._to_do and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                number, tries, picture, ready = heapq.heappop(self._to_do)
            lost = False
            try:
                result = self._answer(classifier, picture, ready)
            except DeviceError as exc:
                lost, result = True, self._failed(picture, exc)
            except CoralClassifyError as exc:
                lost, result = isinstance(exc, SessionClosed), self._failed(picture, exc)
            except Exception as exc:    # a defect; the consumer must not wait for ever
                result = self._failed(picture, CoralClassifyError("%s: %s" % (type(exc).__name__, exc)))
            with self._changed:
                if lost and tries + 1 < _TRIES and not classifier.closed:
                    heapq.heappush(self._to_do, (number, tries + 1, picture, ready))
                else:
                    self._done[number] = result
                if lost:
                    self._away_since[which] = time.monotonic()
                self._changed.notify_all()
            if lost:
                self._wait_for_device(which)

    def _wait_for_device(self, which: int) -> None:
        """Leave the pictures to the others until the keeper of the session has the device back."""
        classifier = self._classifiers[which]
        while not self._over and not classifier.closed and classifier.trouble is not None:
            time.sleep(0.02)
        with self._changed:
            self._away_since.pop(which, None)

    def _give_up_if_all_are_away(self) -> None:
        """A picture waits within bounds only."""
        if len(self._away_since) < len(self._classifiers):
            return
        if time.monotonic() - max(self._away_since.values()) < _PATIENCE_S:
            return
        troubles = "; ".join(str(classifier.trouble) for classifier in self._classifiers)
        for number, _, picture, _ in self._to_do:
            self._done[number] = self._failed(picture, DeviceError("every device is away: %s" % troubles))
        self._to_do.clear()

    def _failed(self, picture: Picture, exc: Exception) -> Result:
        first = self._classifiers[0]
        return Result(name_of(picture), first.model, first.device, first.device_reason, (), 0.0, 0.0, error=str(exc))
