"""The query of a request -> what is wanted of each picture.

Knows texts as they come in an address; what may be meant by the values is the classifier's business.
"""
from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Sequence, Tuple

from .. import arguments
from ..errors import UsageError

__all__ = ["LONGEST", "parameters"]

LONGEST = 8192      # characters of a query
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}\Z")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\Z")


def parameters(items: Sequence[Tuple[str, str]]) -> Dict[str, Any]:
    """The arguments of :meth:`coral_classify.Classifier.classify`.

    :param items: names and values; ``allow`` and ``deny`` may come several times
    :raises UsageError: for a name or a value that cannot be meant

    >>> parameters([("top_k", "3"), ("allow", "cat"), ("allow", "7"), ("region", "0.1,0.1,0.5,0.5")])
    {'top_k': 3, 'allow': ['cat', '7'], 'region': [0.1, 0.1, 0.5, 0.5]}
    """
    if sum(len(name) + len(value) + 2 for name, value in items) > LONGEST:
        raise UsageError("the query has at most %d characters here" % LONGEST)
    found: Dict[str, Any] = {}
    for name, value in items:
        if name not in _READERS:
            raise UsageError("there is no parameter %s; there are %s" % (_quoted(name), ", ".join(_READERS)))
        if name in ("allow", "deny"):
            found.setdefault(name, []).append(arguments.text(name, value, "a label or a class id"))
        elif name in found:
            raise UsageError("%s comes several times; give it once" % name)
        else:
            found[name] = _READERS[name](name, value)
    return found


def _whole(name: str, value: str) -> int:
    if not _WHOLE.match(value):
        raise arguments.wrong(name, "a whole number", value)
    return int(value)


def _number(name: str, value: str) -> float:
    if not _NUMBER.match(value):
        raise arguments.wrong(name, "a number", value)
    return float(value)


def _four(name: str, value: str) -> List[float]:
    parts = value.split(",")
    if len(parts) != 4 or not all(_NUMBER.match(part) for part in parts):
        raise arguments.wrong(name, "four numbers like 0.1,0.1,0.5,0.5", value)
    return [float(part) for part in parts]


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:37] + "...")


_READERS: Dict[str, Callable[[str, str], Any]] = {
    "top_k": _whole, "threshold": _number, "allow": arguments.text, "deny": arguments.text,
    "region": _four, "rotate": _whole}
