from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coral_classify.answers.decode import ranked, top_k
from coral_classify.types import Quantization

TENTH = Quantization(0.1, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
@given(data=st.data())
def test_ranking_equals_a_sort_by_score_then_id(dtype, data):
    scores = data.draw(arrays.arrays(dtype, st.integers(1, 40), elements=st.integers(0, 3)))
    k = data.draw(st.integers(1, 50))
    expected = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), i))[:k]
    assert [i for i, _ in top_k(scores, k)] == expected


def test_extremes_do_not_overflow():
    assert [i for i, _ in top_k(np.array([-128, 127, 0], np.int8), 3)] == [1, 2, 0]
    assert [i for i, _ in top_k(np.array([0, 255, 128], np.uint8), 3)] == [1, 2, 0]


def test_not_a_number_ranks_last():
    assert [i for i, _ in top_k(np.array([np.nan, 1, 2], np.float32), 3)] == [2, 1, 0]


def test_scores_are_dequantized_with_the_zero_point():
    output = np.array([[-128, 127]], np.int8)
    assert ranked(output, Quantization(1 / 256, -128), k=2) == [(1, 255 / 256), (0, 0.0)]


def test_float_scores_pass_unchanged_whatever_the_quantization_says():
    assert ranked(np.array([[0.5, 0.25]], np.float32), TENTH, k=2) == [(0, 0.5), (1, 0.25)]


def test_the_threshold_is_a_real_score_and_includes_itself():
    output = np.array([[5, 4, 3]], np.uint8)
    assert [i for i, _ in ranked(output, Quantization(0.25, 0), k=3, threshold=1.0)] == [0, 1]


def test_only_the_given_classes_are_considered():
    output = np.array([[9, 4, 9, 7]], np.uint8)
    assert [i for i, _ in ranked(output, TENTH, k=2, among=[1, 2, 3])] == [2, 3]
    assert ranked(output, TENTH, k=2, among=[]) == []


def test_more_than_there_are_gives_all():
    assert len(ranked(np.zeros((1, 3), np.uint8), TENTH, k=99)) == 3


@pytest.mark.parametrize("k", [0, -1])
def test_less_than_one_is_an_error(k):
    with pytest.raises(ValueError, match="top_k"):
        top_k(np.zeros(3, np.uint8), k)
