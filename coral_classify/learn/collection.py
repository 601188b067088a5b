"""What was shown: the features of each picture, its class, and in which step it came or went.  No pictures.

A step is one call of show or forget, so that the latest can be taken back.
"""
from __future__ import annotations

import io
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..errors import UsageError

__all__ = ["Collection"]

_KEPT = 20      # steps that can be taken back


class Collection:
    """Features by class.  Classes are in the order in which they came."""

    def __init__(self) -> None:
        self._rows: "List[np.ndarray[Any, Any]]" = []
        self._items: List[List[Any]] = []       # class, step in which it came, step in which it was forgotten or None
        self._step = 0

    def add(self, rows: "List[Tuple[str, np.ndarray[Any, Any]]]") -> Tuple[int, List[Tuple[str, str, bytes]]]:
        """One step: pictures of classes.

        :param rows: (class, features as stored) of each
        :returns: how many were there already in their class, and (class, other class, features) of those that two
            classes claim; they stay in the class that was first
        """
        self._step += 1
        there: Dict[bytes, str] = {row.tobytes(): item[0] for row, item in zip(self._rows, self._items)
                                   if item[2] is None}
        twice, claimed = 0, []
        for name, row in rows:
            other = there.get(row.tobytes())
            if other == name:
                twice += 1
            elif other is not None:
                claimed.append((name, other, row.tobytes()))
            else:
                there[row.tobytes()] = name
                self._rows.append(row)
                self._items.append([name, self._step, None])
        return twice, claimed

    def forget(self, name: str) -> int:
        """One step: a class goes.

        :returns: how many pictures it had
        :raises UsageError: if there is no such class
        """
        if name not in self.classes:
            raise UsageError("no class is called %r; there are: %s" % (name, ", ".join(self.classes) or "none"))
        self._step += 1
        gone = 0
        for item in self._items:
            if item[0] == name and item[2] is None:
                item[2] = self._step
                gone += 1
        return gone

    def undo(self) -> None:
        """Take the latest step back.

        :raises UsageError: if there is none
        """
        steps = {step for item in self._items for step in item[1:] if step}
        if not steps:
            raise UsageError("nothing was shown yet, so nothing can be taken back")
        latest = max(steps)
        kept = [i for i, item in enumerate(self._items) if item[1] != latest]
        self._rows, self._items = [self._rows[i] for i in kept], [self._items[i] for i in kept]
        for item in self._items:
            if item[2] == latest:
                item[2] = None
        self._step = latest - 1

    @property
    def classes(self) -> Tuple[str, ...]:
        return tuple(dict.fromkeys(item[0] for item in self._items if item[2] is None))

    def pictures(self) -> "Tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """(pictures, features) as stored, and the class number of each."""
        number = {name: i for i, name in enumerate(self.classes)}
        here = [i for i, item in enumerate(self._items) if item[2] is None]
        if not here:
            return np.zeros((0, 0), np.uint8), np.zeros(0, np.intp)
        return np.stack([self._rows[i] for i in here]), np.array([number[self._items[i][0]] for i in here])

    def to_parts(self) -> "Tuple[List[List[Any]], bytes]":
        """For a file: the items as plain types, and the features as an ``.npy`` file.  What was forgotten long ago is
        left out."""
        kept = [i for i, item in enumerate(self._items) if item[2] is None or item[2] > self._step - _KEPT]
        file = io.BytesIO()
        np.save(file, np.stack([self._rows[i] for i in kept]) if kept else np.zeros((0, 0), np.uint8))
        return [self._items[i] for i in kept], file.getvalue()

    @classmethod
    def from_parts(cls, items: List[List[Any]], features: Optional[bytes]) -> "Collection":
        """:raises ValueError: if the parts do not belong together"""
        collection = cls()
        rows = np.load(io.BytesIO(features or b""), allow_pickle=False)
        if len(rows) != len(items):
            raise ValueError("%d rows for %d pictures" % (len(rows), len(items)))
        collection._rows = list(rows)
        collection._items = [[str(name), int(came), gone] for name, came, gone in items]
        collection._step = max([step for item in collection._items for step in item[1:] if step], default=0)
        return collection
