"""The steps of a picture, on the way from the caller to the device and back; see :mod:`coral_classify.streaming`.

Knows an open session and what is known of its model; opens nothing itself.
"""
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Iterable, List, Optional, Sequence, Tuple, Union

from .. import arguments
from ..answers import among, ranked
from ..errors import ModelError
from ..modelfiles import passports
from ..pictures import (
    Channels,
    Limits,
    Normalization,
    Picture,
    PixelTable,
    check_region,
    check_rotate,
    name_of,
    prepare,
    view_of,
)
from ..types import Answer, Inferred, Prediction, Preprocessing, Ready, Result, Session, TensorSpec, Wanted

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Steps"]


class Steps:
    """What stands between a picture and an open session.  A subclass sets the attributes."""

    labels: Optional[Tuple[str, ...]]
    model: str                          # the file, or what else the caller gave
    normalization: Normalization
    _session: Session
    _device_reason: str
    _fit: str
    _fill: Tuple[int, int, int]         # of what a padded picture is filled with
    _limits: Limits
    _table: PixelTable
    _refusal: Optional[str]             # why this model cannot classify
    _sure: Optional[passports.Sure]

    @property
    def device_reason(self) -> str:
        """Why this device would answer now."""
        return self._session.reason or self._device_reason

    @property
    def device(self) -> str:
        """The device that runs the model: "cpu", "usb:0", "pci:0"."""
        return self._session.device

    @property
    def input(self) -> TensorSpec:
        return self._session.input

    @property
    def output(self) -> TensorSpec:
        return self._session.output

    def wanted(self, top_k: int = 5, threshold: Optional[float] = None,
               allow: Optional[Iterable[Union[str, int]]] = None, deny: Optional[Iterable[Union[str, int]]] = None,
               region: Optional[Sequence[float]] = None, rotate: int = 0) -> Wanted:
        """The parameters of :meth:`classify`, checked.

        :raises UsageError: for one that cannot be meant
        :raises ModelError: if the model has no classes
        """
        if self._refusal:
            raise ModelError(self._refusal)
        top_k, classes = arguments.whole("top_k", top_k, least=1), self.output.shape[-1]
        return Wanted(min(top_k, classes), None if threshold is None else arguments.number("threshold", threshold),
                      among(None if allow is None else arguments.classes("allow", allow),
                            None if deny is None else arguments.classes("deny", deny), self.labels, classes),
                      None if region is None else check_region(region), 90 * check_rotate(rotate))

    def run(self, tensor: "np.ndarray[Any, Any]") -> "Tuple[np.ndarray[Any, Any], Answer]":
        """The model alone: a raw input tensor, and the raw output with whoever gave it.

        :param tensor: shape and dtype of ``input``
        :raises ValueError: if they differ
        :raises EngineError, DeviceError, SessionClosed:
        """
        return self._session.run(tensor), self._session.answer

    def input_tensors(self, count: int) -> "List[np.ndarray[Any, Any]]":
        """Tensors for :meth:`prepared` to fill; see :meth:`coral_classify.Session.input_tensors`.

        :param count: up to 65536
        """
        return self._session.input_tensors(arguments.whole("count", count, least=0, most=1 << 16))

    def prepared(self, image: Picture, wanted: Wanted, into: "Optional[np.ndarray[Any, Any]]" = None) -> Ready:
        """The first step, which needs no device: the input tensor.

        :param into: a tensor to fill; None: a new one
        :raises ImageError, UsageError:
        """
        started = time.perf_counter()
        height, width = self._session.input.shape[1:3]
        prepared = prepare(image, (width, height), fit=self._fit, region=wanted.region, rotate=wanted.rotate,
                           fill=self._fill, limits=self._limits)
        tensor = self._table.apply(prepared.pixels, into)
        ready = time.perf_counter()
        return Ready(tensor, (ready - started) * 1e3, Preprocessing(
            source_size=prepared.source_size,
            decoded_size=prepared.decoded_size,
            orientation=prepared.orientation,
            region=prepared.region,
            fit=self._fit,
            input_size=(width, height),
            mean=_single(self.normalization.mean),
            std=_single(self.normalization.std),
            normalization_from=self.normalization.source,
            saturated=self._table.saturated(prepared.pixels),
        ))

    def inferred(self, ready: Ready, then: Optional[Ready] = None) -> Inferred:
        """The second step, on the device.

        :param then: the picture that comes next, if that is known; see :meth:`coral_classify.Session.run`
        :raises EngineError, DeviceError, SessionClosed:
        """
        started = time.perf_counter()
        rule = self._sure
        # With other views to ask for, the next run is not that of the next picture.
        output = (self._session.run(ready.tensor) if then is None or rule is not None and rule.views
                  else self._session.run(ready.tensor, then.tensor))
        answer = self._session.answer
        sure = None if rule is None else self._is_sure(rule, ready, output)
        return Inferred(output, answer, (time.perf_counter() - started) * 1e3, sure)

    def result(self, image: Picture, ready: Ready, inferred: Inferred, wanted: Wanted) -> Result:
        """The third step: the output, ranked and named."""
        best = ranked(inferred.output, self._session.output.quantization, k=wanted.top_k, threshold=wanted.threshold,
                      among=wanted.among)
        return Result(
            image=name_of(image),
            model=self.model,
            device=inferred.answer.device,
            device_reason=inferred.answer.reason or self._device_reason,
            predictions=tuple(Prediction(i, self._label(i), score) for i, score in best),
            preprocess_ms=ready.preprocess_ms,
            inference_ms=inferred.inference_ms,
            recovered=inferred.answer.recovered,
            sure=None if inferred.sure is None else inferred.sure and self._is_shown(inferred.output, best),
            preprocessing=ready.preprocessing,
        )

    def failed(self, image: Picture, exc: Exception) -> Result:
        """The result for a picture that could not be classified."""
        return Result(name_of(image), self.model, self.device, self.device_reason, (), 0.0, 0.0, error=str(exc))

    def _is_sure(self, rule: passports.Sure, ready: Ready, output: "np.ndarray[Any, Any]") -> bool:
        """Whether the best answer of all classes is one to rely on: the other views are asked only if it may be."""
        best = self._best(output)
        if not rule.holds([(self._label(i), score) for i, score in best]):
            return False
        views = (self._best(self._session.run(view_of(ready.tensor, view)))[0] for view in rule.views)
        return all(first == best[0][0] and score >= rule.min_score for first, score in views)

    def _best(self, output: "np.ndarray[Any, Any]") -> List[Tuple[int, float]]:
        return ranked(output, self._session.output.quantization, k=2)

    def _is_shown(self, output: "np.ndarray[Any, Any]", shown: List[Tuple[int, float]]) -> bool:
        """Whether the best of all classes is the best that the caller sees."""
        return bool(shown) and shown[0][0] == self._best(output)[0][0]

    def _label(self, class_id: int) -> str:
        return (self.labels[class_id] if self.labels else "") or str(class_id)


def _single(values: Channels) -> Union[float, Channels]:
    return values[0] if len(values) == 1 else values
