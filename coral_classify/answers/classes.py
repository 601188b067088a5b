"""Class names -> class ids, for what a caller allows or denies.  Pure; no files."""
from __future__ import annotations

from typing import Iterable, List, Optional, Tuple, Union

from ..errors import UsageError

__all__ = ["among", "class_ids"]


def class_ids(wanted: Iterable[Union[str, int]], labels: Optional[Tuple[str, ...]], classes: int) -> List[int]:
    """The ids of a list of labels or ids; a label that stands twice gives both.

    :raises UsageError: for a name that no class has, or an id outside the model

    >>> class_ids(["dog", 0], ("cat", "dog", "dog"), 3)
    [0, 1, 2]
    """
    found = set()
    for item in wanted:
        hits = [i for i, label in enumerate(labels or ()) if label == item]
        if not hits and (not isinstance(item, str) or item.strip().isdecimal() and len(item) < 20):
            hits = [int(item)]
        if not hits:
            raise UsageError("no class is called %r; labels are matched letter by letter, ids are numbers" % (item,))
        if not all(0 <= i < classes for i in hits):
            raise UsageError("class id %s is outside this model (0 to %d)" % (item, classes - 1))
        found.update(hits)
    return sorted(found)


def among(allow: Optional[Iterable[Union[str, int]]], deny: Optional[Iterable[Union[str, int]]],
          labels: Optional[Tuple[str, ...]], classes: int) -> Optional[List[int]]:
    """The ids of the classes to consider, ascending; None: all.

    :raises UsageError: for a class that the model has not got

    >>> among(None, ["dog"], ("cat", "dog", "cow"), 3)
    [0, 2]
    """
    if allow is None and deny is None:
        return None
    kept = set(range(classes)) if allow is None else set(class_ids(allow, labels, classes))
    if deny is not None:
        kept -= set(class_ids(deny, labels, classes))
    return sorted(kept)
