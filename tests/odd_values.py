"""Wrong values for arguments, and what a door must say of each: a UsageError that names the argument, or nothing at all
where somebody can have meant it."""
from __future__ import annotations

import collections
import decimal
import fractions
import io
import pathlib

import numpy as np

from coral_classify.errors import CoralClassifyError, UsageError

__all__ = ["INF", "NAN", "VALUES", "accepted", "taken_or_raised"]

NAN, INF = float("nan"), float("inf")


class Odd:
    """An object whose every use fails."""

    def __repr__(self):
        raise RuntimeError("no name")

    def __iter__(self):
        raise RuntimeError("no items")

    def __eq__(self, other):
        raise RuntimeError("not equal to anything")

    def __bool__(self):
        raise RuntimeError("neither")

    __hash__ = None


VALUES = [
    ("none", lambda: None), ("true", lambda: True), ("false", lambda: False), ("numpy true", lambda: np.bool_(True)),
    ("zero", lambda: 0), ("one", lambda: 1), ("minus one", lambda: -1), ("five", lambda: 5), ("huge", lambda: 10 ** 30),
    ("very huge", lambda: 10 ** 400), ("minus huge", lambda: -10 ** 400), ("half", lambda: 1.5), ("nan", lambda: NAN),
    ("infinite", lambda: INF), ("minus infinite", lambda: -INF), ("a float", lambda: 5.0), ("1e300", lambda: 1e300),
    ("complex", lambda: 1j), ("decimal", lambda: decimal.Decimal(1)), ("fraction", lambda: fractions.Fraction(1, 3)),
    ("numpy int", lambda: np.int64(2)), ("numpy uint8", lambda: np.uint8(3)), ("numpy float", lambda: np.float32(0.5)),
    ("numpy nan", lambda: np.float64(NAN)), ("0-d", lambda: np.array(5)), ("numpy str", lambda: np.str_("cpu")),
    ("empty", lambda: ""), ("text", lambda: "no"), ("nul", lambda: "a\0b"), ("long", lambda: "a" * 5000),
    ("digits", lambda: "9" * 5000), ("surrogate", lambda: "\udcff"), ("bytes", lambda: b"cat"),
    ("empty bytes", lambda: b""), ("bytearray", lambda: bytearray(b"cat")), ("memoryview", lambda: memoryview(b"cat")),
    ("list", list), ("tuple", lambda: ()), ("ints", lambda: [1, 2]), ("four", lambda: [0, 0, 4, 4]),
    ("floats", lambda: [1.5]), ("bools", lambda: [True]), ("nans", lambda: [NAN, 0, 1, 1]), ("nones", lambda: [None]),
    ("byte texts", lambda: [b"x"]), ("byte labels", lambda: [b"a", b"b", b"c"]), ("nested", lambda: [[1], [2]]),
    ("deep", lambda: [[[[]]]]), ("generator", lambda: (n for n in range(3))),
    ("failing generator", lambda: (1 // n for n in range(3))), ("map", lambda: map(str, range(3))),
    ("set", lambda: {1, 2}), ("texts in a set", lambda: {"a", "b", "c"}), ("dict", lambda: {"a": 1}),
    ("object", object), ("odd object", Odd), ("class", lambda: int), ("module", lambda: io),
    ("lambda", lambda: lambda *_: 0),
    ("array", lambda: np.zeros(4)), ("object array", lambda: np.array([None, 1], dtype=object)),
    ("picture", lambda: np.zeros((8, 8, 3), np.uint8)), ("file", lambda: io.BytesIO(b"x")),
    ("path", lambda: pathlib.Path("nothing")), ("range", lambda: range(2)), ("deque", lambda: collections.deque([1])),
    ("ellipsis", lambda: ...), ("exception", lambda: ValueError("x")), ("slice", lambda: slice(1))]


def accepted(call, parameter, *, absent=(), names=(), without=()):
    """The titles of the values that *call* takes; each other one is refused as it should be.

    :param call: takes one keyword argument
    :param absent: errors that are as good as a UsageError: there is no such file, name, class or device
    :param names: words one of which the refusal has, instead of the parameter's name
    :param without: titles that are left out
    """
    taken = set()
    for title, made in VALUES:
        if title in without:
            continue
        try:
            call(**{parameter: made()})
            taken.add(title)
        except UsageError as exc:
            assert any(word in str(exc) for word in names or [parameter.rstrip("s")]), (title, exc)
            assert "\n" not in str(exc) and (len(str(exc)) < 400 or title in ("long", "digits")), title
        except CoralClassifyError as exc:
            assert isinstance(exc, absent), (title, exc)
        except Exception as exc:
            raise AssertionError("%s=%s: %s: %s" % (parameter, title, type(exc).__name__, exc)) from exc
    return taken


def taken_or_raised(call, kinds, without=()):
    """The titles of the values that *call* takes; each other one raises one of *kinds*.

    :param call: takes one argument
    """
    taken = set()
    for title, made in VALUES:
        if title in without:
            continue
        try:
            call(made())
            taken.add(title)
        except kinds:
            pass
        except Exception as exc:
            raise AssertionError("%s: %s: %s" % (title, type(exc).__name__, exc)) from exc
    return taken
