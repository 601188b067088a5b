"""TFLite metadata of an image classifier: what its input and output mean, and the name of its label file.

Field numbers are those of the public schema ``tensorflow_lite_support/metadata/metadata_schema.fbs``.
"""
from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

from .flatbuilder import New, Scalar, build, vector

__all__ = ["LABEL_FILE", "METADATA", "classifier_metadata", "label_file"]

METADATA = "TFLITE_METADATA"        # name of the entry that holds it
LABEL_FILE = "labels.txt"

_IMAGE, _FEATURE = 2, 1             # in the union ContentProperties
_RGB = 1                            # ColorSpaceType
_NORMALIZATION = 1                  # in the union ProcessUnitOptions
_AXIS_LABELS = 2                    # AssociatedFileType.TENSOR_AXIS_LABELS


def classifier_metadata(name: str, description: str, *, pixels: Tuple[Sequence[float], Sequence[float]],
                        stored: Tuple[float, float], labels: bool = True) -> bytes:
    """The FlatBuffer ``M001`` for an entry named :data:`METADATA`.

    :param pixels: (means, stds) of the normalization, one number each or three
    :param stored: lowest and highest value that the input can store
    :param labels: whether the file :data:`LABEL_FILE` travels behind the model
    """
    options = New({0: vector("float32", pixels[0]), 1: vector("float32", pixels[1])})
    given: Dict[int, Any] = {
        0: "image", 1: "The picture to be classified.",
        3: New({0: Scalar("uint8", _IMAGE), 1: New({0: Scalar("int8", _RGB)})}),
        4: [New({0: Scalar("uint8", _NORMALIZATION), 1: options})],
        5: New({0: vector("float32", [stored[1]]), 1: vector("float32", [stored[0]])}),
    }
    answer: Dict[int, Any] = {
        0: "probability", 1: "How probable each class is.", 3: New({0: Scalar("uint8", _FEATURE), 1: New({})}),
        5: New({0: vector("float32", [1.0]), 1: vector("float32", [0.0])}),
    }
    if labels:
        answer[6] = [New({0: LABEL_FILE, 1: "The names of the classes.", 2: Scalar("int8", _AXIS_LABELS)})]
    graph = New({2: [New(given)], 3: [New(answer)]})
    return build(New({0: name, 1: description, 2: "v1", 3: [graph], 7: "1.0.0"}), b"M001")


def label_file(names: Sequence[str]) -> bytes:
    """The content of :data:`LABEL_FILE`: a name a line.

    >>> label_file(["cup", "blue mug"])
    b'cup\\nblue mug\\n'
    """
    return "".join(" ".join(name.split()) + "\n" for name in names).encode("utf-8")
