"""Label text -> class names.  The format is decided over the whole file."""
from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional, Tuple, Union

from ..errors import LabelsError
from ..reading import read_file, why

__all__ = ["parse_labels", "read_labels", "fit_labels"]

_COLON = re.compile(r"\s*(\d{1,7})\s*:\s*(.*?)\s*$")        # "0: cat"
_SPACE = re.compile(r"\s*(\d{1,7})\s+(\S.*?)\s*$")          # "0 cat"
_LIMIT = 16 << 20       # bytes; a thousand classes take some 20000


def parse_labels(content: bytes, *, source: str = "labels") -> Tuple[str, ...]:
    """Class names in id order, from ``name``, ``id name`` or ``id: name`` per line.

    A file is numbered only if every line is, with distinct ids, so that a class called
    ``3 musketeers`` among plain names stays a name.  Ids that a numbered file leaves out are
    named by their number.

    :raises LabelsError: empty, or not UTF-8

    >>> parse_labels(b"0: cat\\n1: dog\\n")
    ('cat', 'dog')
    >>> parse_labels(b"background\\r\\n3 musketeers\\r\\n")
    ('background', '3 musketeers')
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise LabelsError("labels %s: not UTF-8 at byte %d; save the file as UTF-8" % (source, exc.start)) from exc
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise LabelsError("labels %s: the file is empty; give one class name per line" % source)
    for pattern in (_COLON, _SPACE):
        numbered = _numbered(lines, pattern)
        if numbered is not None:
            return numbered
    # A blank line in the middle still counts: the ids below it must not move.
    return tuple(line.strip() for line in lines)


def _numbered(lines: List[str], pattern: "re.Pattern[str]") -> Optional[Tuple[str, ...]]:
    names = {}
    for line in lines:
        if not line.strip():
            continue
        match = pattern.match(line)
        if match is None or int(match.group(1)) in names:
            return None
        names[int(match.group(1))] = match.group(2)
    # Numbers far apart are no class ids but part of the names ("1984 novel").
    if max(names) >= 10 * len(names) + 1000:
        return None
    return tuple(names.get(i, str(i)) for i in range(max(names) + 1))


def read_labels(path: Union[str, Path]) -> Tuple[str, ...]:
    """:func:`parse_labels` on a file.

    :raises LabelsError: also if the file cannot be read
    """
    try:
        content = read_file(path, _LIMIT)
    except OSError as exc:
        raise LabelsError("labels %s: %s" % (path, why(exc))) from exc
    return parse_labels(content, source=str(path))


def fit_labels(
    labels: Tuple[str, ...], classes: int, *, offset: int = 0, source: str = "labels"
) -> Tuple[Tuple[str, ...], Optional[str]]:
    """Labels that match a model of *classes* outputs, and a notice if they had to be shifted.

    :param offset: lines to skip, where the model is known to leave them out (ResNet-50: 1)
    :raises LabelsError: if the counts differ in any other way

    >>> fit_labels(("background", "cat", "dog"), 2)[0]
    ('cat', 'dog')
    """
    if offset and len(labels) == classes + offset:
        return labels[offset:], None
    if len(labels) == classes:
        return labels, None
    if len(labels) == classes + 1 and labels[0].lower() == "background":
        return labels[1:], "labels %s: %d names for %d classes; the first, 'background', is left out" % (
            source, len(labels), classes)
    raise LabelsError("labels %s: %d names, but the model has %d classes; give the label file of this model"
                      % (source, len(labels), classes))
