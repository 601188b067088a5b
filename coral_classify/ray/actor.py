"""What one actor of Ray Data does: batches of pictures in, tables of answers out, a row for each picture."""
from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Iterable, List, Mapping, Optional, Sequence, Union

from .. import arguments
from ..classifier import Classifier
from ..engine import usable_cores
from ..errors import ExtraNotFound, UsageError

if TYPE_CHECKING:
    import numpy as np

    from ..types import Result

__all__ = ["RayClassifier"]

_COLUMNS = ("image", "bytes", "path")       # where a picture may stand, best first


class RayClassifier:
    """For ``ray.data.Dataset.map_batches``: each actor holds one :class:`coral_classify.Classifier`.

    ::

        pictures = ray.data.read_binary_files("/photos", include_paths=True)
        answers = pictures.map_batches(RayClassifier, fn_constructor_args=["efficientnet-edgetpu-s"], concurrency=2)
        answers.write_parquet("/answers")

    A batch has the picture in a column ``image`` (height, width, 3; uint8), in ``bytes`` (a file's content) or, where
    every worker reaches the files, only its ``path``.  Each picture becomes one row:

    ``path`` (None without such a column), ``label``, ``class_id``, ``score`` of the best class (None: none reaches the
    threshold), ``sure`` (None: the model does not say), ``labels``, ``class_ids``, ``scores`` (the *top_k* best),
    ``device``, ``error`` (None: none).  A picture that cannot be classified is a row with an ``error``.

    :param model, labels, device, engine, mean, std, fit, max_pixels, deadline_ms, on_device_loss: as for
        :class:`coral_classify.Classifier`; a file's path must lead to it on every machine
    :param threads: of the engine on the CPU; None: as many as CPUs were given to the actor
    :param decoders: threads that read and prepare pictures; None: likewise
    :param top_k, threshold, allow, deny, region, rotate: as for :meth:`coral_classify.Classifier.classify`
    :param keep: further columns of the batch that the rows keep
    :raises UsageError, ModelError, LabelsError, EngineError, DeviceError: as the classifier
    :raises ExtraNotFound: without pyarrow, which comes with ``ray[data]``
    """

    def __init__(
        self,
        model: "Union[str, os.PathLike[str], None]" = None,
        *,
        labels: "Union[str, os.PathLike[str], Sequence[str], None]" = None,
        device: str = "auto",
        engine: Optional[str] = None,
        threads: Optional[int] = None,
        decoders: Optional[int] = None,
        mean: Union[float, Sequence[float], None] = None,
        std: Union[float, Sequence[float], None] = None,
        fit: str = "squash",
        max_pixels: Optional[int] = None,
        deadline_ms: float = 10000.0,
        on_device_loss: str = "cpu",
        top_k: int = 5,
        threshold: Optional[float] = None,
        allow: Optional[Iterable[Union[str, int]]] = None,
        deny: Optional[Iterable[Union[str, int]]] = None,
        region: Optional[Sequence[float]] = None,
        rotate: int = 0,
        keep: Sequence[str] = (),
    ) -> None:
        self._arrow = _pyarrow()
        self._keep = arguments.texts("keep", keep, "a list of columns")
        given = _cpus_of_this_actor()
        self._decoders = given if decoders is None else arguments.whole("decoders", decoders, least=1)
        self._classifier = Classifier(
            model, labels=labels, device=device, engine=engine, threads=given if threads is None else threads,
            mean=mean, std=std, fit=fit, max_pixels=max_pixels, deadline_ms=deadline_ms, on_device_loss=on_device_loss)
        self._wanted: Any = {
            "top_k": top_k, "threshold": threshold, "region": region, "rotate": rotate,
            "allow": None if allow is None else arguments.classes("allow", allow),
            "deny": None if deny is None else arguments.classes("deny", deny)}
        self._classifier.wanted(**self._wanted)     # a mistake is told at once, and not with the first batch

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """
        :param batch: columns by name: NumPy's arrays (Ray's default) or a table of pandas
        :returns: a ``pyarrow.Table`` of as many rows, in the batch's order
        :raises UsageError: if no column has pictures
        :raises CoralClassifyError: if the classifier cannot go on
        """
        column = next((name for name in _COLUMNS if name in batch), None)
        if column is None:
            raise UsageError("a batch needs a column image, bytes or path, got %s" % ", ".join(map(str, batch)))
        results = list(self._classifier.stream([_picture(one) for one in batch[column]], decoders=self._decoders,
                                               **self._wanted))
        return self._table(batch, results)

    def _table(self, batch: Mapping[str, Any], results: "List[Result]") -> Any:
        """With the same types in every batch, whatever is in it."""
        arrow = self._arrow
        text, number, real = arrow.string(), arrow.int64(), arrow.float64()
        best = [result.predictions[0] if result.predictions else None for result in results]
        paths = [str(path) if path is not None else None for path in batch["path"]] if "path" in batch \
            else [None] * len(results)
        columns = {
            "path": arrow.array(paths, text),
            "label": arrow.array([one and one.label for one in best], text),
            "class_id": arrow.array([one and one.class_id for one in best], number),
            "score": arrow.array([one and one.score for one in best], real),
            "sure": arrow.array([result.sure for result in results], arrow.bool_()),
            "labels": arrow.array([[one.label for one in result.predictions] for result in results], arrow.list_(text)),
            "class_ids": arrow.array([[one.class_id for one in result.predictions] for result in results],
                                     arrow.list_(number)),
            "scores": arrow.array([[one.score for one in result.predictions] for result in results],
                                  arrow.list_(real)),
            "device": arrow.array([result.device for result in results], text),
            "error": arrow.array([result.error for result in results], text)}
        for name in self._keep:
            if name not in batch:
                raise UsageError("keep: the batch has no column %s, but %s" % (name, ", ".join(map(str, batch))))
            columns[name] = arrow.array(list(batch[name]))
        return arrow.table(columns)


def _picture(value: Any) -> "Union[bytes, str, np.ndarray[Any, Any]]":
    """What a cell of a column holds.  A missing one is an empty file: an error of its row."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return str(value)
    if getattr(value, "ndim", 0) > 0:
        pixels: "np.ndarray[Any, Any]" = value
        return pixels
    return b""


def _cpus_of_this_actor() -> Optional[int]:
    """Ray counts CPUs, and leaves it to an actor to use no more of them; None: this is no actor of Ray's."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU")
    return None if cpus is None else min(usable_cores(), max(1, int(cpus)))


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError as exc:
        raise ExtraNotFound("RayClassifier needs Ray: pip install 'coral_classify[ray]' (%s)" % exc) from exc
