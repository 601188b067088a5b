"""Averages and changes: values and moments in, values out."""
from __future__ import annotations

import numpy as np
import pytest

from coral_classify import UsageError
from coral_classify.watching import Steadiness
from coral_classify.watching.steady import Held, averaged, seen


def published(ids, in_a_row):
    held, told = Held(), []
    for class_id in ids:
        before, held = held, seen(held, class_id, in_a_row)
        if held.changed_from(before):
            told.append(held.published)
    return told


def test_the_first_answer_is_published_at_once():
    assert published([4], in_a_row=3) == [4]
    assert published([None], in_a_row=3) == [None]


def test_a_change_has_to_last():
    assert published([1, 2, 2, 1, 2, 2, 2, 2], in_a_row=3) == [1, 2]


def test_flicker_between_two_others_is_no_row():
    assert published([1, 2, 3, 2, 3, 2, 3], in_a_row=2) == [1]


def test_nothing_is_an_answer_too():
    assert published([1, None, None, 1, 1], in_a_row=2) == [1, None, 1]


def test_one_in_a_row_publishes_each_change():
    assert published([1, 2, 2, 1], in_a_row=1) == [1, 2, 1]


def test_after_a_half_life_the_past_counts_half():
    now = np.array([[200, 0]], np.uint8)
    assert averaged(None, now, 0.0, 1.0).tolist() == [[200, 0]]
    assert averaged(np.array([[0.0, 100.0]]), now, 1.0, 1.0).tolist() == [[100, 50]]
    assert averaged(np.array([[0.0, 100.0]]), now, 2.0, 1.0).tolist() == [[150, 25]]


def test_the_average_depends_on_time_and_not_on_the_number_of_pictures():
    now = np.array([[1.0]], np.float32)
    coarse = averaged(np.array([[0.0]]), now, 1.0, 0.7)
    fine = np.array([[0.0]])
    for _ in range(10):
        fine = averaged(fine, now, 0.1, 0.7)
    assert np.allclose(coarse, fine)


def test_a_half_life_of_none_is_no_average():
    assert averaged(np.array([[9.0]]), np.array([[1]], np.int8), 0.1, 0.0).tolist() == [[1]]


def test_a_clock_that_steps_back_does_no_harm():
    assert averaged(np.array([[9.0]]), np.array([[1]], np.int8), -5.0, 1.0).tolist() == [[9]]


@pytest.mark.parametrize("values", [(-1, 3), (float("nan"), 3), (float("inf"), 3), (0.5, 0)])
def test_values_that_cannot_be_meant(values):
    with pytest.raises(UsageError):
        Steadiness(*values).check()
