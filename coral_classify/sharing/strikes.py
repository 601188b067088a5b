"""Which models are not run for a while, because they took the driver's process along.

A record by content, with the clock as an argument.  A driver fails now and then under any model; one under which it
fails twice in a row, with no answer in between, is the suspect.
"""
from __future__ import annotations

from collections import OrderedDict
from typing import Dict, Tuple

__all__ = ["Strikes"]

_MOST_KNOWN = 1000


class Strikes:
    """
    >>> strikes = Strikes()
    >>> [strikes.crashed("a", now) for now in (0.0, 1.0)], strikes.left_s("a", 11.0)
    ([False, True], 50.0)
    >>> strikes.left_s("a", 61.0), strikes.crashed("a", 62.0), strikes.crashed("a", 63.0), strikes.left_s("a", 63.0)
    (0.0, False, True, 120.0)

    :param most: so many crashes in a row make a ban of *ban_s*; each further one lasts twice as long, up to *longest_s*
    """

    def __init__(self, most: int = 2, ban_s: float = 60.0, longest_s: float = 3600.0) -> None:
        self._most, self._ban_s, self._longest_s = most, ban_s, longest_s
        # content -> crashes in a row, bans, end of the latest
        self._known: "OrderedDict[str, Tuple[int, int, float]]" = OrderedDict()

    def crashed(self, content: str, now: float) -> bool:
        """:returns: whether it is banned by that"""
        crashes, bans, until = self._known.pop(content, (0, 0, float("-inf")))
        crashes += 1
        banned = crashes >= self._most
        if banned:
            crashes, until = 0, now + min(self._ban_s * 2.0 ** min(bans, 30), self._longest_s)
        self._known[content] = (crashes, bans + banned, until)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return banned

    def answered(self, content: str) -> None:
        self._known.pop(content, None)

    def left_s(self, content: str, now: float) -> float:
        """How long it is not run yet; 0: it may be."""
        return max(0.0, self._known.get(content, (0, 0, now))[2] - now)

    def banned(self, now: float) -> Dict[str, float]:
        """content -> seconds left"""
        return {content: self.left_s(content, now) for content in list(self._known) if self.left_s(content, now)}
