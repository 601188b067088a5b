"""The adapters of pycoral: pure functions over whatever behaves like an interpreter."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from coral_classify.compat import classify, common, dataset, detect, segment
from coral_classify.compat.detect import BBox


class Stub:
    """An interpreter of given arrays: inputs first, then outputs."""

    def __init__(self, inputs, outputs, quantization=(0.0, 0), signatures=None):
        self.arrays = list(inputs) + list(outputs)
        self._inputs = len(inputs)
        self._quantization = quantization
        self._signatures = signatures or {}

    def _details(self, numbers):
        return [{"index": i, "shape": np.array(self.arrays[i].shape), "dtype": self.arrays[i].dtype.type,
                 "quantization": self._quantization} for i in numbers]

    def get_input_details(self):
        return self._details(range(self._inputs))

    def get_output_details(self):
        return self._details(range(self._inputs, len(self.arrays)))

    def tensor(self, index):
        return lambda: self.arrays[index]

    def _get_full_signature_list(self):
        return self._signatures


def scores_of(values, **more):
    return Stub([np.zeros((1, 4, 6, 3), np.uint8)], [np.array([values])], **more)


def test_scores_are_dequantized_without_wrapping_around():
    stub = scores_of(np.array([0, 128, 255], np.uint8), quantization=(0.5, 128))
    assert classify.get_scores(stub).tolist() == [-64.0, 0.0, 63.5]
    assert classify.num_classes(stub) == 3


def test_float_scores_are_a_copy():
    stub = scores_of(np.array([0.25, 0.75], np.float32))
    scores = classify.get_scores(stub)
    scores[:] = 0
    assert stub.arrays[1].tolist() == [[0.25, 0.75]]


def test_classes_come_best_first_and_keep_to_limit_and_threshold():
    stub = scores_of(np.array([0.1, 0.7, 0.2, 0.5], np.float32))
    assert [c.id for c in classify.get_classes(stub)] == [1, 3, 2, 0]
    assert [c.id for c in classify.get_classes(stub, 2)] == [1, 3]
    assert [c.id for c in classify.get_classes(stub, 3, 0.3)] == [1, 3]
    first = classify.get_classes(stub, top_k=1, score_threshold=0.5)[0]
    assert first == (1, pytest.approx(0.7)) and isinstance(first.id, np.integer)
    assert classify.Class(id=1, score=0.5)._fields == ("id", "score")


def test_the_input_is_a_view_that_takes_pictures():
    stub = scores_of(np.array([0], np.uint8))
    assert common.input_size(stub) == (6, 4)
    common.set_input(stub, Image.new("RGB", (6, 4), (1, 2, 3)))
    assert stub.arrays[0][0, 3, 5].tolist() == [1, 2, 3]
    common.input_tensor(stub)[0, 0] = 9
    assert stub.arrays[0][0, 0, 0].tolist() == [9, 9, 9]
    assert common.input_details(stub, "dtype") is np.uint8


def test_a_picture_keeps_its_proportions_at_the_upper_left():
    stub = scores_of(np.array([0], np.uint8))
    asked = []

    def resize(size):
        asked.append(size)
        return Image.new("RGB", size, "white")

    result, scale = common.set_resized_input(stub, (12, 4), resize)
    assert asked == [(6, 2)] and scale == (0.5, 0.5) and result.size == (6, 2)
    assert stub.arrays[0][0, :, 0, 0].tolist() == [255, 255, 0, 0]


BOXES = np.array([[[0.0, 0.5, 1.0, 1.0], [0.25, 0.0, 0.5, 0.5]]], np.float32)    # ymin, xmin, ymax, xmax
CLASSES = np.array([[16.0, 3.0]], np.float32)
SCORES = np.array([[0.9, 0.4]], np.float32)
COUNT = np.array([2.0], np.float32)


@pytest.mark.parametrize("outputs, signatures", [
    ([BOXES, CLASSES, SCORES, COUNT], None),
    ([SCORES, BOXES, COUNT, CLASSES], None),
    ([COUNT, SCORES, CLASSES, BOXES], {"serving_default": {"inputs": {"images": 0}, "outputs": {
        "output_0": 1, "output_1": 2, "output_2": 3, "output_3": 4}}}),
])
def test_objects_are_read_from_all_three_layouts(outputs, signatures):
    stub = Stub([np.zeros((1, 100, 200, 3), np.uint8)], outputs, signatures=signatures)
    cat, other = detect.get_objects(stub, image_scale=(0.5, 0.5))
    assert cat == (16, pytest.approx(0.9), BBox(200, 0, 400, 200)) and isinstance(cat.id, int)
    assert other.bbox == BBox(xmin=0, ymin=50, xmax=200, ymax=100)
    assert [one.id for one in detect.get_objects(stub, score_threshold=0.5)] == [16]


def test_a_model_with_two_signatures_is_refused():
    stub = Stub([np.zeros((1, 1, 1, 3))], [COUNT], signatures={"a": {}, "b": {}})
    with pytest.raises(ValueError, match="Only support model with one signature"):
        detect.get_objects(stub)


def test_boxes_know_their_arithmetic():
    box = BBox(100, 110, 200, 210)
    assert (box.width, box.height, box.area, box.valid) == (100, 100, 10000, True)
    assert BBox(1, 1, 10, 20).scale(3, 4) == BBox(3, 4, 30, 80)
    assert BBox(1, 1, 10, 20).translate(10, 20) == BBox(11, 21, 20, 40)
    assert BBox(1.9, 2.9, 3.9, 4.9).map(int) == BBox(1, 2, 3, 4)
    assert BBox.iou(BBox(0, 0, 200, 200), BBox(100, 100, 300, 300)) == pytest.approx(1 / 7)
    apart = BBox.intersect(BBox(0, 0, 10, 20), BBox(20, 30, 25, 35))
    assert apart == BBox(20, 30, 10, 20) and not apart.valid
    assert BBox.iou(BBox(0, 0, 10, 20), BBox(20, 30, 25, 35)) == 0.0
    assert BBox.union(BBox(0, 0, 10, 20), BBox(50, 50, 60, 70)) == BBox(0, 0, 60, 70)


def test_a_map_is_given_without_its_batch():
    stub = Stub([np.zeros((1, 2, 2, 3), np.uint8)], [np.array([[[0, 1], [2, 15]]], np.int64)])
    drawn = segment.get_output(stub)
    assert drawn.dtype == np.uint8 and drawn.tolist() == [[0, 1], [2, 15]]


def test_label_files_are_read_line_by_line(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("0: tench\n5 great white shark\nhen\n 7  cock \n3 musketeers\n", encoding="utf-8")
    assert dataset.read_label_file(str(path)) == {0: "tench", 5: "great white shark", 2: "hen", 7: "cock",
                                                  3: "musketeers"}
