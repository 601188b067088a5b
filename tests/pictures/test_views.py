"""Other views of a picture, made from its input tensor."""
from __future__ import annotations

import numpy as np
import pytest

from coral_classify.pictures import VIEWS, view_of


def numbered(height, width):
    return np.arange(height * width, dtype=np.int32).reshape(1, height, width, 1)


def test_the_mirror_exchanges_left_and_right_in_a_tensor_of_its_own():
    tensor = numbered(2, 3)
    mirror = view_of(tensor, "mirror")
    assert mirror[0, :, :, 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    mirror[:] = 0
    assert tensor.any()


@pytest.mark.parametrize("height, width", [(10, 20), (112, 112), (1, 1)])
def test_the_middle_leaves_out_a_tenth_on_each_side(height, width):
    rows, columns = np.divmod(view_of(numbered(height, width), "middle")[0, :, :, 0], width)
    assert rows.shape == (height, width)
    for places, size in ((rows[:, 0], height), (columns[0], width)):
        assert places.min() == size // 10 and places.max() == size - 1 - size // 10
        assert (np.diff(places) >= 0).all()


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_shape_and_type_of_its_tensor(view):
    for dtype in (np.uint8, np.int8, np.float32):
        tensor = np.zeros((1, 7, 5, 3), dtype)
        assert (view_of(tensor, view).shape, view_of(tensor, view).dtype) == (tensor.shape, tensor.dtype)


def test_an_unknown_view_is_named():
    with pytest.raises(ValueError, match="no view 'above'"):
        view_of(np.zeros((1, 2, 2, 3), np.uint8), "above")
