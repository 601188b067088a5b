"""Arguments, looked at where they come in: each error names the argument, what it may be, and what came.

Numbers may be Python's or NumPy's, whole ones no booleans and no floats; texts are texts and no bytes.  Knows what can
be meant by a value, and nothing of what is done with it; needs no NumPy.
"""
from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple, Union

from .errors import UsageError

__all__ = ["callback", "channels", "choice", "classes", "file", "flag", "instance", "labels", "number", "numbers_of",
           "of_classes", "pictures", "size", "text", "texts", "whole", "wrong"]

_HUGE = 1e20        # no number about pictures reaches it


def wrong(name: str, wanted: str, value: object) -> UsageError:
    """The error for an argument that cannot be meant."""
    try:
        came = " ".join(repr(value).split())      # an array has lines
    except Exception:       # somebody's own object
        came = "an object of %s" % type(value).__name__
    return UsageError("%s must be %s, got %s" % (name, wanted, came if len(came) <= 80 else came[:77] + "..."))


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def whole(name: str, value: Any, *, least: int, most: Optional[int] = None) -> int:
    """A whole number.

    >>> whole("top_k", 3, least=1)
    3
    >>> whole("top_k", True, least=1)
    Traceback (most recent call last):
    coral_classify.errors.UsageError: top_k must be at least 1, a whole number, got True
    """
    wanted = "at least %d, a whole number" % least if most is None else "%d to %d, a whole number" % (least, most)
    if _is_bool(value) or not isinstance(value, numbers.Integral):
        raise wrong(name, wanted, value)
    result = operator.index(value)
    if result < least or (most is not None and result > most):
        raise wrong(name, wanted, value)
    return result


def number(name: str, value: Any, *, above: Optional[float] = None) -> float:
    """A finite number, greater than *above*."""
    wanted = "a number" if above is None else "a number above %g" % above
    if _is_bool(value) or not isinstance(value, numbers.Real):
        raise wrong(name, wanted, value)
    try:
        result = float(value)
    except OverflowError:
        raise wrong(name, wanted, value) from None
    if not math.isfinite(result) or abs(result) > _HUGE or (above is not None and result <= above):
        raise wrong(name, wanted, value)
    return result


def numbers_of(name: str, value: Any, wanted: str, counts: Sequence[int]) -> Tuple[float, ...]:
    """A few finite numbers: a list, a tuple, an array, whatever can be gone through once.

    :param counts: how many it may be
    """
    items = _items(name, value, wanted)
    if len(items) not in counts:
        raise wrong(name, wanted, value)
    try:
        return tuple(number(name, item) for item in items)
    except UsageError:
        raise wrong(name, wanted, value) from None


def size(name: str, value: Any, *, least: Tuple[int, int]) -> Tuple[int, int]:
    """Width and height in whole pixels."""
    wanted = "width and height, at least %d x %d pixels" % least
    try:
        width, height = (whole(name, side, least=side_least, most=1 << 16)
                         for side, side_least in zip(_items(name, value, wanted), least + least[:1]))
    except (UsageError, ValueError):
        raise wrong(name, wanted, value) from None
    return width, height


def flag(name: str, value: Any) -> bool:
    """True or False, and no text that says so."""
    if not _is_bool(value):
        raise wrong(name, "True or False", value)
    return bool(value)


def text(name: str, value: Any, wanted: str = "a text") -> str:
    """A text; not empty, and without NUL, which ends texts elsewhere."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise wrong(name, wanted, value)
    return str(value)


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """One of a few texts."""
    if not isinstance(value, str) or value not in allowed:
        raise wrong(name, "one of %s" % ", ".join(allowed), value)
    return value


def file(name: str, value: Any, wanted: str = "the path of a file") -> Union[str, "os.PathLike[str]"]:
    """A path: a text or a path object; no bytes, which Windows reads otherwise."""
    try:
        path = os.fspath(value)
    except Exception:
        raise wrong(name, wanted, value) from None
    text(name, path, wanted)
    result: Union[str, "os.PathLike[str]"] = value
    return result


def callback(name: str, value: Any) -> Callable[..., Any]:
    """What can be called."""
    if not callable(value):
        raise wrong(name, "a function", value)
    result: Callable[..., Any] = value
    return result


def instance(name: str, value: Any, kind: type) -> Any:
    """An object of this kind."""
    if not isinstance(value, kind):
        raise wrong(name, "a %s" % kind.__name__, value)
    return value


def texts(name: str, value: Any, wanted: str = "a list of texts") -> Tuple[str, ...]:
    """Texts in an order; empty ones are allowed."""
    if isinstance(value, (set, frozenset)):
        raise wrong(name, wanted + " in an order", value)
    items = _items(name, value, wanted)
    for item in items:
        if not isinstance(item, str):
            raise wrong(name, wanted, value)
    return tuple(str(item) for item in items)


def labels(value: Any) -> Union[str, "os.PathLike[str]", Tuple[str, ...], None]:
    """The names of classes, or where they stand; None: they are looked for."""
    wanted = "the path or the name of a label file, or a list of names"
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        return file("labels", value, wanted)
    return texts("labels", value, wanted)


def channels(name: str, value: Any) -> Union[float, Tuple[float, ...], None]:
    """One number, or one per channel; None: it is looked for."""
    if value is None:
        return None
    if isinstance(value, numbers.Real):
        return number(name, value)
    return numbers_of(name, value, "a number, or three", (1, 3))


def classes(name: str, value: Any) -> Tuple[Union[str, int], ...]:
    """Labels and class ids."""
    wanted = "a list of labels and class ids"
    found: List[Union[str, int]] = []
    for item in _items(name, value, wanted):
        if isinstance(item, str):
            found.append(str(item))
        else:
            try:
                found.append(whole(name, item, least=0))
            except UsageError:
                raise wrong(name, wanted, item) from None
    return tuple(found)


def pictures(name: str, value: Any) -> Iterator[Any]:
    """What gives pictures, one after the other; not a single one, which would come apart."""
    wanted = "an iterable of pictures (for a single one: classify)"
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, bytearray, memoryview, os.PathLike, Mapping)):
        raise wrong(name, wanted, value)
    if hasattr(value, "read") or getattr(value, "ndim", 4) != 4:     # an open file; an array that is one picture
        raise wrong(name, wanted, value)
    return _iterator(name, value, wanted)


def of_classes(name: str, value: Any) -> Iterator[Tuple[str, Any]]:
    """(class, picture) of each; the pairs are looked at as they come."""
    wanted = "an iterable of pairs: class, picture"
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, bytearray, memoryview, Mapping)):
        raise wrong(name, wanted, value)
    return _pairs(name, _iterator(name, value, wanted), wanted)


def _pairs(name: str, items: Iterator[Any], wanted: str) -> Iterator[Tuple[str, Any]]:
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2 or not isinstance(item[0], str) or item[1] is None:
            raise wrong(name, wanted, item)
        yield str(item[0]), item[1]


def _iterator(name: str, value: Any, wanted: str) -> Iterator[Any]:
    try:
        return iter(value)
    except Exception:       # an array without dimensions, somebody's own object
        raise wrong(name, wanted, value) from None


def _items(name: str, value: Any, wanted: str) -> List[Any]:
    """What goes through once is kept; texts and mappings would come apart into what nobody meant."""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(value, Iterable):
        raise wrong(name, wanted, value)
    items: List[Any] = []
    try:
        for item in value:
            items.append(item)
            if len(items) > 10000000:       # endless
                raise wrong(name, wanted, value)
    except UsageError:
        raise
    except Exception:       # an array without dimensions, somebody's own object
        raise wrong(name, wanted, value) from None
    return items
