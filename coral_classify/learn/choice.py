"""Which head, what it can be expected to do on new pictures, and when an answer is one of the classes at all.

Everything is judged on pictures that the head in question was not made of.  Pure NumPy.
"""
from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from .heads import SHARPNESS, Head, cosine, probabilities, softmax_regression, span, unit
from .intervals import Share, share

__all__ = ["NONE", "UNTRIED", "Choice", "choose_head"]

NONE = "none of these"      # the class after the last, for pictures of something else

_PENALTY = 0.01             # of the softmax regression; 0.003 to 0.1 do alike, see benchmarks/README.md
_ALIKE = 0.985              # cosine of pictures that are nearly one, such as two frames of a film
_FOLDS = 5
_TEMPERATURES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
UNTRIED = 4.8              # temperature where nothing could be held out: a sharpness of 48
_OWN_LOST, _OWN_LOST_AT_MOST = 0.02, 0.15   # share of own pictures that may be called none of these
# The rule of "sure": the first score of which, held out, so many answers are right and so few other things pass.
_MIN_SCORES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_SURE_RIGHT, _STRANGERS_SURE = 0.97, 0.05


class Choice(NamedTuple):
    """A head, with what is known of it."""

    kind: str                       # "cosine" or "softmax"
    head: Head                      # (classes + 1): the last one is NONE
    expected: Optional[Share]       # share of new pictures of the classes that it names right; None: not known
    sure: Optional[Share]           # share of new pictures of which it is sure; None: not known
    sure_right: Optional[Share]     # and share of those that are right
    min_score: float
    alike: int                      # pictures that are nearly another one
    held_out: int                   # pictures that were judged
    strangers: Optional[Share]      # share of pictures of other things that are taken for a class; None: not known


def choose_head(features: "np.ndarray[Any, Any]", classes: "np.ndarray[Any, Any]", number: int,
                strange: "Optional[np.ndarray[Any, Any]]" = None) -> Choice:
    """:param features: (pictures, features), real
    :param classes: (pictures,) 0 to *number* - 1; each occurs
    :param strange: (pictures, features) of other things
    """
    # All heads are linear in what the pictures span: of 200 pictures, 200 numbers each are enough.
    basis, units = span(unit(np.asarray(features, np.float64)))
    groups = _groups(units, classes)
    folds = _folds(groups, classes)
    held = np.flatnonzero(folds >= 0)
    makers = {"cosine": lambda u, c: cosine(u, c, number)}
    if number > 1 and len(held) and np.bincount(classes, minlength=number).max() > 1:
        makers["softmax"] = lambda u, c: softmax_regression(u, c, number, _PENALTY)
    outcomes: Dict[str, Tuple[float, float, float]] = {}
    logits: "Dict[str, np.ndarray[Any, Any]]" = {}
    for kind, maker in makers.items():
        logits[kind] = _held_out_logits(maker, units, classes, folds, number)
        if len(held):
            right = float((logits[kind][held].argmax(1) == classes[held]).mean())
            losses = [_loss(t * logits[kind][held], classes[held]) for t in _TEMPERATURES]
            best = int(np.argmin(losses))
            outcomes[kind] = right, -losses[best], _TEMPERATURES[best]
    kind = max(outcomes, key=lambda name: outcomes[name][:2]) if outcomes else "cosine"
    temperature = outcomes[kind][2] if outcomes and number > 1 else UNTRIED
    head = makers[kind](units, classes)
    own = logits[kind][held]
    strange_logits = None
    if strange is not None and len(strange):
        strange_logits = head.logits(unit(strange.astype(np.float64)) @ basis)
    line = _line(own, classes[held], units, classes, number, strange_logits)
    # What was shown must be known: a class of one picture, never held out, may lie below what the others reach.
    shown = head.logits(units)[np.arange(len(units)), classes]
    line = min(line, min(float(shown[classes == k].mean()) for k in range(number)) - 1.5 / temperature)
    weights = temperature * head.weights @ basis.T
    whole = Head(np.concatenate([weights, np.zeros((1, len(basis)))]),
                 np.append(temperature * head.bias, temperature * line))
    choice = Choice(kind, whole, None, None, None, 0.5, len(units) - len(set(groups.tolist())), len(held), None)
    if not len(held):
        return choice
    scores = probabilities(temperature * np.concatenate([own, np.full((len(own), 1), line)], axis=1))
    others = strange_logits if strange_logits is not None else _as_if_not_shown(own, classes[held])
    passing = np.zeros(0)       # the best score of a class for each picture of something else
    if number > 1 or strange_logits is not None:
        passing = probabilities(temperature * np.concatenate([others, np.full((len(others), 1), line)], axis=1)
                                )[:, :-1].max(1)
    return _judged(choice, scores, classes[held], groups[held], passing, strange_logits is not None)


def _judged(choice: Choice, scores: "np.ndarray[Any, Any]", truth: "np.ndarray[Any, Any]",
            groups: "np.ndarray[Any, Any]", passing: "np.ndarray[Any, Any]", shown: bool) -> Choice:
    """What to expect of the model as it will answer: NONE is a wrong answer here.  Pictures that are nearly one count
    as one.

    :param passing: the best score of a class for each picture of something else
    :param shown: whether the user gave those pictures
    """
    counted = len(set(groups.tolist()))
    right = scores.argmax(1) == truth
    answered = scores.argmax(1) < scores.shape[1] - 1
    for min_score in _MIN_SCORES:
        sure = answered & (scores.max(1) >= min_score)
        honest = not sure.any() or right[sure].mean() >= _SURE_RIGHT
        if honest and (not len(passing) or (passing >= min_score).mean() <= _STRANGERS_SURE):
            break
    number = int(round(sure.mean() * counted))
    taken = share(int((passing >= min_score).sum()), len(passing)) if shown else None
    return choice._replace(
        expected=share(right.mean() * counted, counted), sure=share(sure.mean() * counted, counted), strangers=taken,
        sure_right=share(right[sure].mean() * number, number) if sure.any() else None, min_score=min_score)


def _as_if_not_shown(own: "np.ndarray[Any, Any]", truth: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Each picture as the other classes see it."""
    masked = own.copy()
    masked[np.arange(len(own)), truth] = -np.inf
    return masked


def _groups(units: "np.ndarray[Any, Any]", classes: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """(pictures,) the number of the first picture of its class that it is nearly equal to."""
    first = np.arange(len(units))
    for number in range(int(classes.max()) + 1):
        members = np.flatnonzero(classes == number)
        for block in range(0, len(members), 1024):
            part = members[block:block + 1024]
            near = units[part] @ units[members].T >= _ALIKE
            for row, i in zip(near, part):
                first[i] = first[members[int(np.argmax(row))]] if row.any() else i
    return first


def _folds(groups: "np.ndarray[Any, Any]", classes: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """(pictures,) the fold in which each is held out; -1: never, as its class would have none left."""
    folds = np.full(len(groups), -1)
    turn = np.random.RandomState(0)
    for number in range(int(classes.max()) + 1):
        members = np.flatnonzero(classes == number)
        heads = turn.permutation(np.unique(groups[members]))
        if len(heads) > 1:
            fold = {int(group): i % _FOLDS for i, group in enumerate(heads)}
            folds[members] = [fold[int(group)] for group in groups[members]]
    return folds


def _held_out_logits(maker: Any, units: "np.ndarray[Any, Any]", classes: "np.ndarray[Any, Any]",
                     folds: "np.ndarray[Any, Any]", number: int) -> "np.ndarray[Any, Any]":
    logits = np.zeros((len(units), number))
    for fold in range(_FOLDS):
        out = folds == fold
        if out.any():
            logits[out] = maker(units[~out], classes[~out]).logits(units[out])
    return logits


def _loss(logits: "np.ndarray[Any, Any]", truth: "np.ndarray[Any, Any]") -> float:
    return float(-np.log(np.maximum(probabilities(logits)[np.arange(len(truth)), truth], 1e-12)).mean())


def _line(own: "np.ndarray[Any, Any]", truth: "np.ndarray[Any, Any]", units: "np.ndarray[Any, Any]",
          classes: "np.ndarray[Any, Any]", number: int, strange: "Optional[np.ndarray[Any, Any]]") -> float:
    """The logit of NONE: below it, a picture shows something else.

    The value that 2 % of the user's own pictures, held out, do not reach.  Higher, up to 15 %, only if the user has
    shown pictures of other things and they would pass: what is merely doubtful is for the rule of "sure".
    """
    if not len(own):        # a picture a class: no nearer to any than the nearest two classes are to each other
        near = _as_if_not_shown(cosine(units, classes, number).logits(units), classes)
        return max(0.0, float(near.max())) if number > 1 else 0.6 * SHARPNESS
    best = own.max(1)
    low, high = (float(np.quantile(best, lost)) for lost in (_OWN_LOST, _OWN_LOST_AT_MOST))
    return low if strange is None else min(max(low, float(np.quantile(strange.max(1), 0.95))), high)
