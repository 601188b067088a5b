"""The mathematics of heads, and what is promised of them."""
from __future__ import annotations

import numpy as np
import pytest

from coral_classify.learn.choice import NONE, choose_head
from coral_classify.learn.heads import SHARPNESS, cosine, probabilities, softmax_regression, unit
from coral_classify.learn.intervals import share


def clouds(pictures, classes=3, features=40, spread=0.6, seed=0):
    """Pictures about the mean of their class; (pictures, features) and classes."""
    turn = np.random.RandomState(seed)
    middles = turn.normal(size=(classes, features))
    numbers = np.repeat(np.arange(classes), pictures)
    return middles[numbers] + spread * np.random.RandomState(seed + 1).normal(size=(len(numbers), features)), numbers


def test_one_picture_is_enough_for_cosine():
    features, numbers = clouds(1)
    logits = cosine(unit(features), numbers, 3).logits(unit(features))
    assert (logits.argmax(1) == numbers).all() and logits.max() == pytest.approx(SHARPNESS)


@pytest.mark.parametrize("pictures", [5, 40])       # fewer than features, and more
def test_softmax_regression_is_at_its_minimum_and_the_same_every_time(pictures):
    features, numbers = clouds(pictures, spread=1.5)
    units = unit(features)
    penalty = 0.3
    head = softmax_regression(units, numbers, 3, penalty)
    again = softmax_regression(units, numbers, 3, penalty)
    assert (head.weights == again.weights).all() and (head.bias == again.bias).all()
    error = probabilities(head.logits(units)) - np.eye(3)[numbers]
    change = head.weights - cosine(units, numbers, 3).weights
    assert np.linalg.norm(error.T @ units + penalty * change) < 1e-3 * len(units)


def test_a_large_penalty_leaves_the_cosine_head():
    features, numbers = clouds(5)
    near = softmax_regression(unit(features), numbers, 3, 1e6)
    assert np.abs(near.weights - cosine(unit(features), numbers, 3).weights).max() < 1e-3


def test_every_class_counts_the_same():
    features, numbers = clouds(30, classes=2, spread=1.5)
    keep = np.r_[0:30, 30:33]
    head = softmax_regression(unit(features[keep]), numbers[keep], 2, 0.1)
    fresh, truth = clouds(200, classes=2, spread=1.5)
    right = head.logits(unit(fresh)).argmax(1) == truth
    assert abs(right[truth == 0].mean() - right[truth == 1].mean()) < 0.2


def test_what_is_expected_holds_on_new_pictures():
    missed = []
    for seed in range(10):
        features, numbers = clouds(12, classes=4, features=20, spread=1.6, seed=seed)
        fresh, truth = features[np.arange(len(features)) % 12 >= 8], numbers[np.arange(len(features)) % 12 >= 8]
        shown = np.arange(len(features)) % 12 < 8
        choice = choose_head(features[shown], numbers[shown], 4)
        right = (choice.head.logits(unit(fresh))[:, :4].argmax(1) == truth).mean()
        missed.append(choice.expected.value - right)
        assert choice.expected.low - 0.2 < right < choice.expected.high + 0.2
    assert abs(np.mean(missed)) < 0.1


def test_something_never_shown_is_none_of_these():
    features, numbers = clouds(10, classes=4)
    shown = numbers < 3
    choice = choose_head(features[shown], numbers[shown], 3)
    scores = probabilities(choice.head.logits(unit(features)))
    assert (scores[~shown].argmax(1) == 3).mean() > 0.8, NONE
    assert (scores[shown].argmax(1) == numbers[shown]).mean() > 0.8
    assert choice.strangers is None
    told = choose_head(features[shown], numbers[shown], 3, features[~shown])
    assert told.strangers.value < 0.3 and told.strangers.of == 10


def test_pictures_that_are_nearly_one_count_as_one():
    features, numbers = clouds(4)
    film = np.repeat(features, 5, axis=0) + 1e-3
    choice = choose_head(film, np.repeat(numbers, 5), 3)
    assert choice.alike == 48 and choice.expected.of == 12


def test_a_class_with_one_picture_is_never_held_out():
    features, numbers = clouds(6)
    keep = np.r_[0:12, 12:13]
    choice = choose_head(features[keep], numbers[keep], 3)
    assert choice.held_out == 12
    assert choose_head(features[[0, 6, 12]], np.arange(3), 3).expected is None


def test_one_class_alone_is_known_from_everything_else():
    features, numbers = clouds(10, classes=2)
    choice = choose_head(features[:10], numbers[:10], 1)
    scores = probabilities(choice.head.logits(unit(features)))
    assert (scores[:10, 0] > 0.5).mean() >= 0.8 and (scores[10:, 0] > 0.5).mean() <= 0.2


def test_a_share_of_few_is_wide():
    assert share(8, 8).low < 0.7 and share(800, 800).low > 0.99 and share(0, 0)[1:3] == (0.0, 1.0)
