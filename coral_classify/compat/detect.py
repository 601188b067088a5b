"""``pycoral.adapters.detect``: the objects that a detection model found.  Pure."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Tuple

from .boxes import BBox
from .common import input_size, output_tensor

__all__ = ["BBox", "Object", "get_objects"]


class Object(NamedTuple):
    """One object that was found."""

    id: int         # class
    score: float
    bbox: BBox      # in pixels of the picture


def get_objects(interpreter: Any, score_threshold: float = -float("inf"),
                image_scale: Tuple[float, float] = (1.0, 1.0)) -> List[Object]:
    """The objects of the latest inference that reach the threshold, in the model's order.

    :param image_scale: the factors that ``common.set_resized_input`` gave
    :raises ValueError: for a model with more than one signature
    """
    boxes, class_ids, scores = _outputs(interpreter)
    width, height = input_size(interpreter)
    sx, sy = width / image_scale[0], height / image_scale[1]
    found = []
    for box, class_id, score in zip(boxes, class_ids, scores):
        if score >= score_threshold:
            ymin, xmin, ymax, xmax = box    # shares of the input tensor
            found.append(Object(int(class_id), float(score), BBox(xmin, ymin, xmax, ymax).scale(sx, sy).map(int)))
    return found


def _outputs(interpreter: Any) -> Tuple[Any, Any, Any]:
    """Boxes (n, 4), class ids (n,) and scores (n,), by the three layouts that models come in."""
    signatures = interpreter._get_full_signature_list()
    if signatures:
        if len(signatures) > 1:
            raise ValueError("Only support model with one signature.")
        (signature,) = signatures.values()
        scores, class_ids, boxes = (interpreter.tensor(signature["outputs"]["output_%d" % i])()[0] for i in (1, 2, 3))
    elif output_tensor(interpreter, 3).size == 1:       # TF 1: boxes, classes, scores, count
        boxes, class_ids, scores = (output_tensor(interpreter, i)[0] for i in (0, 1, 2))
    else:                                               # TF 2: scores, boxes, count, classes
        scores, boxes, class_ids = (output_tensor(interpreter, i)[0] for i in (0, 1, 3))
    return boxes, class_ids, scores
