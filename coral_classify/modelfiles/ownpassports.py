"""The passports of the models that the user added, read like what they may be: anybody's files.

Every field is checked; a file that is none of ours is left out with one line.  Knows what a passport may say; not what
it says of published models.
"""
from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Set, Tuple

from ..locations import home
from ..reading import read_file

__all__ = ["NAME", "entries", "own_file"]

_log = logging.getLogger("coral_classify")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")    # of a model, and of its files: no path, no hidden file
_LIMIT = 1 << 20        # bytes; those that we write have less than one KB
_MOST = 1 << 31

_told: Set[str] = set()     # lines that were logged: a passport is read many times


def own_file(name: str) -> Path:
    """Where the passport of a model of the user's own lies.

    :raises ValueError: for what can be no name
    """
    if not NAME.match(name):
        raise ValueError("%r is no name of a model" % name)
    return _folder() / (name + ".json")


def _folder() -> Path:
    return home() / "passports"


def entries() -> List[Dict[str, Any]]:
    """The fields of each passport that can be one, by name."""
    found = []
    for path in _files():
        try:
            found.append(_read(path))
        except (OSError, ValueError, RecursionError, OverflowError) as exc:
            reason = "too deeply nested" if isinstance(exc, RecursionError) else getattr(exc, "strerror", None) or exc
            line = "passport %s: %s; it is left out: mend it, or delete it" % (path, reason)
            if line not in _told:
                _told.add(line)
                _log.warning("%s", line)
    return found


def _files() -> List[Path]:
    try:
        return sorted(_folder().glob("*.json"))
    except OSError:     # a home that may not be entered
        return []


def _read(path: Path) -> Dict[str, Any]:
    entry = json.loads(read_file(path, _LIMIT).decode("utf-8"))
    if not isinstance(entry, dict):
        raise ValueError("it holds no object")
    checked = {}
    for field, (is_right, wanted) in _FIELDS.items():
        value = entry.get(field)
        if field in entry or field in _NEEDED:
            if not is_right(value):
                raise ValueError("%s must be %s, got %.60s" % (field, wanted, json.dumps(value)))
            checked[field] = value
    if checked["name"] != path.stem:
        raise ValueError("its name is %s, which is not that of the file" % checked["name"])
    if (checked.get("mean") is None) != (checked.get("std") is None):
        raise ValueError("mean and std belong together")
    return dict(_ABSENT, **checked)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 10000


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30 and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(NAME.match(value))


def _is_pin(value: Any) -> bool:
    return (isinstance(value, dict) and _is_hex(value.get("git_blob"), 40)
            and (value.get("sha256") is None or _is_hex(value["sha256"], 64)))


def _is_hex(value: Any, length: int) -> bool:
    return isinstance(value, str) and bool(re.match(r"[0-9a-f]{%d}\Z" % length, value))


def _are_files(value: Any) -> bool:
    return (isinstance(value, dict) and bool(value) and set(value) <= {"cpu", "edgetpu"}
            and all(_is_pin(file) and _is_name(file.get("name")) for file in value.values()))


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_number(number) for number in value.values())


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


_NEEDED = ("name", "title", "kind", "files")
_ABSENT = {"labels": None, "label_offset": 0, "classes": None, "mean": None, "std": None}
_NUMBER = "a number"
_FIELDS: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    "name": (_is_name, "a name of letters, digits, dot, dash and underscore"),
    "title": (_is_text, "a text"),
    "kind": (lambda value: isinstance(value, str) and value in ("classification", "embedding"),
             "classification or embedding"),
    "files": (_are_files, "the file of cpu, of edgetpu, or both: name and git_blob"),
    "labels": (_or_none(_is_name), "the name of a file"),
    "label_offset": (_is_count, "a whole number"),
    "classes": (_or_none(_is_count), "a whole number"),
    "mean": (_or_none(_is_number), _NUMBER),
    "std": (_or_none(lambda value: _is_number(value) and value > 0), "a positive number"),
    "latency_ms": (_or_none(_are_numbers), "numbers by name"),
    "accuracy": (_or_none(_are_numbers), "numbers by name"),
    "input_size": (_or_none(_is_count), "a whole number"),
    "crop_fraction": (_or_none(_is_number), _NUMBER),
    "licence": (_is_text, "a text"),
    "notes": (_is_text, "a text"),
    "label_pin": (_or_none(_is_pin), "a git_blob"),
}
