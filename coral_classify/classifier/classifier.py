"""The façade: one model on one device, pictures in, ranked classes out."""
from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Optional, Sequence, Tuple, Union

from .. import arguments
from ..answers import real_features
from ..edgetpu import Options
from ..errors import ModelError
from ..modelfiles import labels_for, named_labels, passports, read_model
from ..pictures import (
    FITS,
    Normalization,
    Picture,
    PixelTable,
    check_region,
    choose,
    limits,
)
from ..placement import Supervision, checked_place, find_model, open_features, open_first
from ..types import Result, Session, Wanted
from ..watching import STEADY, Steadiness
from .steps import Steps

if TYPE_CHECKING:
    import numpy as np

    from ..cameras import Camera
    from ..events import Event

    Interpreter = Any       # of whichever runtime

__all__ = ["Classifier", "Number"]

_log = logging.getLogger("coral_classify")

Number = Union[float, Sequence[float]]


class Classifier(Steps):
    """Classifies pictures with one model.  Use it with ``with``; it owns the device.

    Calls from several threads are allowed; the device does one picture at a time.
    """

    def __init__(
        self,
        model: Union[str, "os.PathLike[str]", Session, "Interpreter", None] = None,
        *,
        labels: Union[str, "os.PathLike[str]", Sequence[str], None] = None,
        device: str = "auto",
        engine: Optional[str] = None,
        threads: Optional[int] = None,
        mean: Optional[Number] = None,
        std: Optional[Number] = None,
        fit: str = "squash",
        max_pixels: Optional[int] = None,
        max_picture_bytes: Optional[int] = None,
        performance: Optional[str] = None,
        usb_always_dfu: Optional[bool] = None,
        usb_max_bulk_in_queue_length: Optional[int] = None,
        supervised: Optional[bool] = None,
        deadline_ms: float = 10000.0,
        on_device_loss: str = "cpu",
        on_event: Optional[Callable[["Event"], None]] = None,
        wait_for_device: bool = False,
    ) -> None:
        """
        :param model: path of a ``.tflite``, the bare name of one in the package's or the user's models folder,
            the name of a published model that was pulled, or an open session; None for the package's own model.
            A TFLite ``Interpreter``, PyCoral's say, is a model, too
        :param labels: path or bare name of a label file, or the names themselves; None: those that the model
            file or its passport carries, else ids
        :param device: "auto", "cpu", or an Edge TPU: "usb", "usb:N", "pci", "pci:N", ":N".  With "auto" and a CPU
            twin the first picture waits a second at most: an accelerator that opens later, or is plugged in later,
            takes over from the CPU once it is open.  One that is named is waited for.  "shared": the one that
            ``coral-classify share`` owns; "http://board:8750": a board on which ``coral-classify serve`` runs
        :param engine: "ai-edge-litert" or "tflite-runtime"; None: ``CORAL_CLASSIFY_ENGINE``, else what works
        :param threads: CPU threads; None: all cores that this process may use
        :param mean, std: ``(pixel - mean) / std`` is what the network was trained on; one number or three.
            None: from the model's passport, its metadata or its input range
        :param fit: "squash", "crop" or "pad"; see :func:`coral_classify.pictures.preprocess.prepare`
        :param max_pixels: of a picture as decoded; larger ones are an :class:`ImageError`.  None:
            ``CORAL_CLASSIFY_MAX_PIXELS``, else 64 Mi
        :param max_picture_bytes: of memory for decoding a picture; None: ``CORAL_CLASSIFY_MAX_PICTURE_BYTES``, else
            384 MiB
        :param performance: clock of a USB device: "low", "medium", "high", "max"
        :param supervised: run engine and driver in a child process that may crash or hang; None: on an Edge
            TPU, and not on the CPU
        :param deadline_ms: for one supervised inference; the first one after opening gets three times as long
        :param on_device_loss: "cpu": go on on the CPU twin while the device is away; "retry": wait for it;
            "raise": let the picture in flight fail
        :param on_event: called with each :class:`coral_classify.events.Event` of a supervised device, from a
            thread of the session's
        :param wait_for_device: with "auto": wait for the first opening, however long it takes (at most 30 s)
        :raises UsageError, ModelError, LabelsError, EngineError, DeviceError:
        """
        interpreter = _is_interpreter(model)
        if not (model is None or isinstance(model, Session) or interpreter):
            arguments.file("model", model, "the path or the name of a model, or an open session")
        labels = arguments.labels(labels)
        mean, std = arguments.channels("mean", mean), arguments.channels("std", std)
        threads = checked_place(device, engine, threads)
        watch = Supervision(supervised, deadline_ms, on_device_loss, on_event, wait_for_device).check()
        self._fit = arguments.choice("fit", fit, FITS)
        self._refusal: Optional[str] = None         # why this model cannot classify
        self._features: Optional[Session] = None    # for embed()
        self._open_features: Optional[Callable[[], Session]] = None
        self._limits = limits(max_pixels, max_picture_bytes)
        options = Options(performance, usb_always_dfu, usb_max_bulk_in_queue_length).check()
        if interpreter:
            from ..engine import AdoptedSession  # seldom

            model = AdoptedSession(model)
        if isinstance(model, Session):
            self._session, file, passport = model, None, None
            self.model = "<%s>" % type(model).__name__
            self._device_reason = "the session was given"
        else:
            asked = read_model(find_model(model))
            passport = passports.by_file(asked.path, asked.content_id)
            if passport is None and asked.labels is not None:
                passport = passports.inside(asked.path)
            warning = passports.changed(model, asked.path, passport)
            if warning:
                _log.warning("%s", warning)
            if passport is not None and passport.kind != "classification":
                self._refusal = "model %s: is %s, which gives features, not classes; use embed(), or the model %s" % (
                    asked.path, passport.title, passport.name.replace("-embedding", ""))
            # Nothing that can be wrong with labels or numbers should wait for a device to open.
            names = labels_for(asked, passport, labels)
            if names is None and passport is None and asked.features:
                self._refusal = (
                    "model %s: gives features, not classes (%s); use embed(), or a classifier, or, if these are "
                    "classes, name them with --labels (labels= in Python)" % (asked.path, asked.features))
            choose(asked.input, caller=(mean, std))
            self._session, file, self._device_reason = open_first(asked, device, engine, threads, options, watch)
            self._open_features = functools.partial(open_features, file, bool(self._refusal), device, engine, threads,
                                                    options, watch)
            self.model = str(file.path)
            self.labels: Optional[Tuple[str, ...]] = names
        self.content_id: Optional[str] = file.content_id if file else None      # git's, of the model file
        self.compiled: Optional[bool] = file.compiled if file else None
        self._sure = passport.sure if passport else None
        classes = self._session.output.shape[1]
        if isinstance(model, Session):
            self.labels = None if labels is None else named_labels(labels, classes, 0)
        self.normalization: Normalization = choose(
            self._session.input, caller=(mean, std),
            passport=(passport.mean, passport.std, passport.name)
            if passport and passport.mean is not None and passport.std is not None else None,
            metadata=file.normalization if file else None)
        if self.normalization.warning:
            _log.warning("%s: %s", self.model, self.normalization.warning)
        self._table = PixelTable(self._session.input, self.normalization)
        middle = [min(255, max(0, int(round(m)))) for m in self.normalization.mean]
        self._fill = (middle[0], middle[len(middle) // 2], middle[-1])

    def classify(
        self,
        image: Picture,
        *,
        top_k: int = 5,
        threshold: Optional[float] = None,
        allow: Optional[Iterable[Union[str, int]]] = None,
        deny: Optional[Iterable[Union[str, int]]] = None,
        region: Optional[Sequence[float]] = None,
        rotate: int = 0,
    ) -> Result:
        """Classify one picture.

        :param image: path, encoded bytes, binary file object, PIL image, or (height, width, 3) uint8 array (RGB)
        :param top_k: how many classes at most; more than the model has gives all
        :param threshold: leave out classes with a lower real score
        :param allow, deny: labels or class ids to consider, or to leave out
        :param region: x, y, w, h of the upright picture, in pixels or (all ≤ 1) fractions
        :param rotate: degrees clockwise, a multiple of 90
        :raises ImageError: if the picture cannot be read
        :raises UsageError: for a parameter that cannot be meant
        :raises EngineError, DeviceError, SessionClosed:
        """
        wanted = self.wanted(top_k, threshold, allow, deny, region, rotate)
        ready = self.prepared(image, wanted)
        return self.result(image, ready, self.inferred(ready), wanted)

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
        """Classify many pictures, in order; threads decode the next ones while the device works.

        A picture that cannot be classified gives a result with ``error`` set.  ``pictures`` is read in the
        caller's thread and may be endless; a None in it says that there is none at present, and lets those before
        it be answered first.  Closing the generator leaves no thread.

        :param ahead: how many pictures to read and prepare beyond the one in hand; only while one takes unusually
            long, more may pass it
        :param decoders: decoding threads; None: one per usable core, at most ``ahead``
        :param max_bytes: what the prepared input tensors may take together, and so may the pictures that wait in
            memory (bytes, arrays) besides one more; files wait on disk
        :param top_k, threshold, allow, deny, region, rotate: as for :meth:`classify`
        :raises UsageError: at once, for a parameter that cannot be meant
        :raises EngineError, DeviceError, SessionClosed: if the session is closed on the way
        """
        from ..streaming import stream  # threads and queues: a single picture starts sooner without them

        wanted = self.wanted(top_k, threshold, allow, deny, region, rotate)
        return stream([self], pictures, wanted, ahead=ahead, decoders=decoders, max_bytes=max_bytes)

    def watch(
        self, camera: "Union[Camera, str, os.PathLike[str], None]" = None, *, every_s: float = 0.0,
        every_frame: bool = False, steadiness: Optional[Steadiness] = STEADY, stall_s: float = 10.0,
        with_frames: Union[bool, Callable[[], bool]] = False, on_event: Optional[Callable[["Event"], None]] = None,
        top_k: int = 5, threshold: Optional[float] = None, allow: Optional[Iterable[Union[str, int]]] = None,
        deny: Optional[Iterable[Union[str, int]]] = None, region: Optional[Sequence[float]] = None, rotate: int = 0,
    ) -> Iterator[Result]:
        """The answers for the frames of a camera, with their age; see :func:`coral_classify.watching.watch`.

        :param camera: one of :mod:`coral_classify.cameras`, or its name; None: the first of this machine
        :param top_k, threshold, allow, deny, region, rotate: as for :meth:`classify`
        """
        from ..watching import watch

        return watch(self, camera, self.wanted(top_k, threshold, allow, deny, region, rotate), every_s=every_s,
                     every_frame=every_frame, steadiness=steadiness, stall_s=stall_s, with_frames=with_frames,
                     on_event=on_event)

    def embed(self, image: Picture, *, region: Optional[Sequence[float]] = None, rotate: int = 0,
              unit: bool = True) -> "np.ndarray[Any, Any]":
        """The features of a picture: alike for pictures that look alike.

        :param unit: of length 1, so that the dot product of two is their similarity, up to 1; False: as the model has
            them
        :returns: (features,) float32
        :raises ModelError: if they cannot be found in the model; the other errors are those of :meth:`classify`
        """
        unit = arguments.flag("unit", unit)
        if self._features is None:
            if self._open_features is None:
                raise ModelError("%s: features need a model file, and a session was given" % self.model)
            self._features = self._open_features()
        ready = self.prepared(image, Wanted(1, None, None, None if region is None else check_region(region), rotate))
        return real_features(self._features.run(ready.tensor), self._features.output.quantization, unit)

    def close(self) -> None:
        """Release the model and the device.  May be called twice."""
        self._session.close()
        if self._features is not None:
            self._features.close()

    @property
    def closed(self) -> bool:
        return self._session.closed

    @property
    def trouble(self) -> Optional[str]:
        """Why the wanted device is away at present; None if it is there."""
        return getattr(self._session, "trouble", None)

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _is_interpreter(model: object) -> bool:
    if model is None or isinstance(model, (str, os.PathLike, Session)):
        return False
    from ..engine import is_interpreter

    return is_interpreter(model)
