"""Figures as text: medians with their spread, paired ratios, Markdown tables, goals."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np


class Goal(NamedTuple):
    """What was wanted, what was measured, and whether that meets it (None: it was not measured)."""

    text: str
    measured: str
    met: Optional[bool]


class Section(NamedTuple):
    """One part of the report."""

    title: str
    text: str           # Markdown
    goals: List[Goal]


class LeftOut(Exception):
    """A part cannot be measured on this machine; says why."""


def spread(values: Sequence[float], form: str = "%.2f") -> str:
    """The median, and the quartiles behind it.

    >>> spread([1, 2, 3, 4, 5], "%.0f")
    '3 (2 … 4)'
    """
    low, middle, high = np.percentile(values, [25, 50, 75])
    return "%s (%s … %s)" % (form % middle, form % low, form % high)


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """The median of theirs / ours, round by round: what slows both in one round leaves it as it is.

    >>> ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    2.0
    """
    assert len(theirs) == len(ours)
    return float(np.median(np.asarray(theirs, float) / np.asarray(ours, float)))


def turned(items: Sequence[Any], number: int) -> List[Any]:
    """The items in the order of round *number*: each round begins with another one.

    >>> turned("abc", 1)
    ['b', 'c', 'a']
    """
    start = number % len(items)
    return list(items[start:]) + list(items[:start])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(header), ["---"] * len(header)] + [list(row) for row in rows]
    return "\n".join("| %s |" % " | ".join(line) for line in lines)


def goals_table(goals: Sequence[Goal]) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    return table(["goal", "measured", ""], [[goal.text, goal.measured, words[goal.met]] for goal in goals])
