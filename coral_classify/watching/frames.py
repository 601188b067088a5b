"""The steps of a classifier, for frames: what a picture of a camera has beyond one from a file.  See
:class:`coral_classify.streaming.Steps`."""
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Union

from .steady import Held, Steadiness, averaged, seen

if TYPE_CHECKING:
    import numpy as np

    from ..cameras import Frame
    from ..streaming import Steps
    from ..types import Inferred, Ready, Result, TensorSpec, Wanted

__all__ = ["FrameSteps"]


class FrameSteps:
    """Answers frames in their order, held steady, with their age.

    :param steadiness: None: each answer as it comes
    :param with_frames: results carry the picture, or those of which it says so
    """

    def __init__(self, classifier: "Steps", steadiness: Optional[Steadiness],
                 with_frames: Union[bool, Callable[[], bool]]) -> None:
        self._classifier = classifier
        self._steadiness = steadiness or Steadiness(0, 1)
        self._pictures: Optional[Dict[int, Any]] = {} if with_frames else None      # those not answered yet
        self._is_wanted = with_frames if callable(with_frames) else None
        self._average: "Optional[np.ndarray[Any, Any]]" = None
        self._held = Held()
        self._at_s = 0.0        # of the latest answered frame, on the camera's scale
        self._number = 0        # of that frame

    @property
    def input(self) -> "TensorSpec":
        return self._classifier.input

    @property
    def device(self) -> str:
        return self._classifier.device

    @property
    def closed(self) -> bool:
        return self._classifier.closed

    @property
    def trouble(self) -> Optional[str]:
        return self._classifier.trouble

    def input_tensors(self, count: int) -> "List[np.ndarray[Any, Any]]":
        return self._classifier.input_tensors(count)

    def prepared(self, image: "Frame", wanted: "Wanted", into: "Optional[np.ndarray[Any, Any]]" = None) -> "Ready":
        picture = image.picture() if image.scalable is None else image.scalable
        if self._pictures is not None:
            self._pictures[image.number] = picture
        return self._classifier.prepared(picture, wanted, into)

    def inferred(self, ready: "Ready", then: "Optional[Ready]" = None) -> "Inferred":
        return self._classifier.inferred(ready, then)

    def result(self, image: "Frame", ready: "Ready", inferred: "Inferred", wanted: "Wanted") -> "Result":
        """To be called frame after frame."""
        raw = inferred.output
        if self._steadiness.half_life_s > 0:
            self._average = averaged(self._average, raw, image.at_s - self._at_s, self._steadiness.half_life_s)
            steady = self._average if raw.dtype.kind == "f" else self._average.round()
            inferred = inferred._replace(output=steady.astype(raw.dtype))
        self._at_s = image.at_s
        result = self._classifier.result(image.name, ready, inferred, wanted)
        best = result.predictions[0].class_id if result.predictions else None
        held, self._held = self._held, seen(self._held, best, self._steadiness.in_a_row)
        return self._of_frame(result, image, self._held.changed_from(held))

    def failed(self, image: "Frame", exc: Exception) -> "Result":
        return self._of_frame(self._classifier.failed(image.name, exc), image, False)

    def _of_frame(self, result: "Result", frame: "Frame", changed: bool) -> "Result":
        skipped = max(0, frame.number - self._number - 1)
        self._number = frame.number
        picture = None
        if self._pictures is not None:
            picture = self._pictures.pop(frame.number, None)
            if self._is_wanted is not None and not self._is_wanted():
                picture = None
            elif picture is not None and picture is frame.scalable:
                picture = frame.picture()       # whole: only of those that are answered
            for number in [number for number in list(self._pictures) if number < frame.number]:
                del self._pictures[number]      # a newer one took its place
        return result._replace(frame_age_ms=(time.monotonic() - frame.taken_at) * 1e3, changed=changed,
                               skipped=skipped, frame=picture)
