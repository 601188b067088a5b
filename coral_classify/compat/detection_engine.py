"""``edgetpu.detection.engine``: pictures in, boxes out, as before PyCoral."""
from __future__ import annotations

import operator
from typing import Any, List, Optional

import numpy as np

from .basic_engine import BasicEngine
from .classification_engine import as_input
from .given import real
from .image_processing import resampling_with_original_ratio

__all__ = ["DetectionCandidate", "DetectionEngine"]

_NEAREST = 0        # PIL.Image.NEAREST


class DetectionCandidate:
    """One object that was found; ``bounding_box`` is [[x1, y1], [x2, y2]]."""

    __slots__ = ["label_id", "score", "bounding_box"]

    def __init__(self, label_id: int, score: float, x1: float, y1: float, x2: float, y2: float) -> None:
        self.label_id = label_id
        self.score = score
        self.bounding_box: "np.ndarray[Any, Any]" = np.array([[x1, y1], [x2, y2]])


class DetectionEngine(BasicEngine):
    """A model with the four outputs boxes, classes, scores, count.

    :raises ValueError: for a model with another number of outputs
    """

    def __init__(self, model_path: str, device_path: Optional[str] = None) -> None:
        super().__init__(model_path, device_path)
        outputs = self.get_num_of_output_tensors()
        if outputs != 4:
            raise ValueError("Dectection model should have 4 output tensors!This model has %d." % outputs)
        self._starts = np.cumsum(self.get_all_output_tensors_sizes())[:3]

    def detect_with_image(self, img: Any, threshold: float = 0.1, top_k: int = 3, keep_aspect_ratio: bool = False,
                          relative_coord: bool = True, resample: int = _NEAREST) -> List[DetectionCandidate]:
        """The objects in a picture, best first.

        :param keep_aspect_ratio: fit it with black beside it, instead of squashing it
        :param relative_coord: boxes as shares of the picture; False: in its pixels
        """
        shape = self.get_input_tensor_shape()
        filled = (1.0, 1.0)
        fitted = img
        if keep_aspect_ratio and shape.size == 4:
            fitted, filled = resampling_with_original_ratio(img, (int(shape[2]), int(shape[1])), resample)
        found = self.detect_with_input_tensor(as_input(fitted, shape, resample), threshold, top_k)
        for one in found:
            if keep_aspect_ratio:
                one.bounding_box = np.clip(one.bounding_box / filled, 0.0, 1.0)
            if relative_coord is False:
                one.bounding_box = one.bounding_box * [img.size]
        return found

    def detect_with_input_tensor(self, input_tensor: "np.ndarray[Any, Any]", threshold: float = 0.1,
                                 top_k: int = 3) -> List[DetectionCandidate]:
        """The same for a flat input tensor; boxes are shares of it."""
        threshold = real(threshold)
        if operator.index(top_k) <= 0:
            raise ValueError("top_k must be positive!")
        _, raw = self.run_inference(input_tensor)
        boxes, class_ids, scores, number = np.split(raw, self._starts)
        found = []
        for i in range(int(round(float(number[0])))):
            if scores[i] > threshold:
                y1, x1 = np.maximum(0.0, boxes[4 * i:4 * i + 2])
                y2, x2 = np.minimum(1.0, boxes[4 * i + 2:4 * i + 4])
                found.append(DetectionCandidate(int(round(float(class_ids[i]))), scores[i], x1, y1, x2, y2))
        return sorted(found, key=lambda one: -one.score)[:top_k]

    DetectWithImage = detect_with_image
    DetectWithInputTensor = detect_with_input_tensor
