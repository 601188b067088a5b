"""``edgetpu.learn.imprinting.engine``: weight imprinting as before PyCoral; the engine runs the pictures itself."""
from __future__ import annotations

import operator
from typing import Any, List, Optional, Tuple

import numpy as np

from .classify import get_classes_from_scores, get_scores
from .edgetpu_utils import make_interpreter, run_inference
from .given import real
from .imprinting import ImprintingEngine as Trainer

__all__ = ["ImprintingEngine"]


class ImprintingEngine:
    """Trains the tail of one model with flat input tensors.

    :param model_path: see :mod:`coral_classify.compat.imprinting`
    :param keep_classes: the classes that it has stay
    :raises RuntimeError: if the model or the device cannot be opened
    """

    def __init__(self, model_path: str, keep_classes: bool = False) -> None:
        try:
            self._trainer = Trainer(model_path, keep_classes)
            self._extractor = _ready(self._trainer.serialize_extractor_model())
        except (OSError, ValueError) as exc:
            raise RuntimeError(str(exc)) from exc
        self._base = self._trainer.num_classes
        self._trained: Optional[Any] = None

    def train(self, input: "List[np.ndarray[Any, Any]]", class_id: int) -> None:
        """Add pictures, each a flat input tensor, to a class.

        :raises RuntimeError: for a class that cannot be trained
        """
        for tensor in input:
            run_inference(self._extractor, tensor)
            self._trainer.train(get_scores(self._extractor), class_id)
        self._trained = None

    def train_all(self, input_data: "List[List[np.ndarray[Any, Any]]]") -> None:
        """A list of pictures for each new class."""
        for number, tensors in enumerate(input_data):
            self.train(tensors, self._base + number)

    def save_model(self, output_path: str) -> None:
        """:raises RuntimeError: if nothing is trained"""
        content = self._trainer.serialize_model()
        with open(output_path, "wb") as file:
            file.write(content)

    def classify_with_resized_image(self, img: Any, threshold: float = 0.1, top_k: int = 3) -> List[Tuple[int, float]]:
        """The best classes of a PIL image of the model's size."""
        return self.classify_with_input_tensor(np.asarray(img).flatten(), threshold, top_k)

    def classify_with_input_tensor(self, input_tensor: "np.ndarray[Any, Any]", threshold: float = 0.0,
                                   top_k: int = 3) -> List[Tuple[int, float]]:
        """The best classes above a threshold, best first."""
        threshold = real(threshold)
        if operator.index(top_k) <= 0:
            raise ValueError("top_k must be positive!")
        if self._trained is None:
            self._trained = _ready(self._trainer.serialize_model())
        run_inference(self._trained, input_tensor)
        best = get_classes_from_scores(get_scores(self._trained), top_k)
        return [(one.id, one.score) for one in best if one.score > threshold]

    SaveModel = save_model
    Train = train
    TrainAll = train_all
    ClassifyWithResizedImage = classify_with_resized_image
    ClassifyWithInputTensor = classify_with_input_tensor


def _ready(content: bytes) -> Any:
    interpreter = make_interpreter(content)
    interpreter.allocate_tensors()
    return interpreter
