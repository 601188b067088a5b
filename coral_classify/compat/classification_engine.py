"""``edgetpu.classification.engine``: pictures in, (class id, score) out, as before PyCoral."""
from __future__ import annotations

import operator
from typing import Any, List, Optional, Tuple

import numpy as np

from .basic_engine import BasicEngine
from .given import real

__all__ = ["ClassificationEngine", "as_input"]

_NEAREST = 0        # PIL.Image.NEAREST


class ClassificationEngine(BasicEngine):
    """A model with one output of scores.

    :raises ValueError: for a model with several outputs
    """

    def __init__(self, model_path: str, device_path: Optional[str] = None) -> None:
        super().__init__(model_path, device_path)
        outputs = self.get_num_of_output_tensors()
        if outputs != 1:
            raise ValueError("Classification model should have 1 output tensor only!This model has %d." % outputs)

    def classify_with_image(self, img: Any, threshold: float = 0.1, top_k: int = 3,
                            resample: int = _NEAREST) -> List[Tuple[int, float]]:
        """The best classes of a picture, best first.

        :param img: a PIL image; squashed to the model's size
        :param threshold: scores above it count
        :param resample: a filter of Pillow's
        """
        pixels = as_input(img, self.get_input_tensor_shape(), resample)
        return self.classify_with_input_tensor(pixels, threshold, top_k)

    def classify_with_input_tensor(self, input_tensor: "np.ndarray[Any, Any]", threshold: float = 0.0,
                                   top_k: int = 3) -> List[Tuple[int, float]]:
        """The same for a flat input tensor."""
        threshold = real(threshold)
        if operator.index(top_k) <= 0:
            raise ValueError("top_k must be positive!")
        _, scores = self.run_inference(input_tensor)
        count = min(operator.index(top_k), len(scores))
        best = [(i, scores[i]) for i in np.argpartition(scores, -count)[-count:] if scores[i] > threshold]
        return sorted(best, key=lambda one: -one[1])

    ClassifyWithImage = classify_with_image
    ClassifyWithInputTensor = classify_with_input_tensor


def as_input(img: Any, shape: "np.ndarray[Any, Any]", resample: int) -> "np.ndarray[Any, Any]":
    """A PIL image as a flat input tensor of *shape*.

    :raises RuntimeError: if the model takes no pictures
    :raises ValueError: if they have neither 1 nor 3 channels
    """
    if shape.size != 4 or shape[0] != 1:
        raise RuntimeError("Invalid input tensor shape! Expected: [1, height, width, channel]")
    _, height, width, channels = (int(extent) for extent in shape)
    modes = {1: "L", 3: "RGB"}
    if channels not in modes:
        raise ValueError("Invalid input tensor channel! Expected: 1 or 3. Actual: %d" % channels)
    return np.asarray(img.resize((width, height), resample).convert(modes[channels])).flatten()
