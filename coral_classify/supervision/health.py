"""When to try a failing device again: growing pauses, and a rest for one that keeps failing.

A pure state machine with the clock as an argument: no threads, no processes, no sleeping.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, NamedTuple

__all__ = ["DeviceHealth", "Decision"]


class Decision(NamedTuple):
    """What follows from one failure."""

    pause_s: float  # from now until the next attempt
    rested: bool  # True if the pause is a rest, because the device fails repeatedly


class DeviceHealth:
    """The medical record of one device.

    ``failed`` (it crashed, hung, or lost an answer) counts towards a rest; ``absent`` (it is not there, busy,
    or refused) does not: nobody gains from letting an unplugged device rest.  After either, the pauses grow
    from nothing over *first_pause_s* by doubling up to *longest_pause_s*.

    A device that has given *proof_answers* since it opened, or worked for *proof_s*, whichever is first, has earned a
    fresh start: pauses and rests are for one that fails at once again.

    >>> health = DeviceHealth()
    >>> [health.failed(now).pause_s for now in (0.0, 5.0, 10.0)]    # the third within a minute: rest
    [0.0, 1.0, 300.0]
    >>> health.wait_s(10.0), health.wait_s(310.0)
    (300.0, 0.0)
    >>> health.opened(310.0)
    >>> health.failed(312.0, answers=1000).pause_s      # a passing fault after a thousand pictures
    0.0

    :param failures: so many of them within *window_s* earn a rest of *rest_s*; a further rest lasts twice as
        long as the one before, up to *longest_rest_s*
    :raises ValueError: for values that cannot be meant
    """

    def __init__(
        self,
        *,
        first_pause_s: float = 1.0,
        longest_pause_s: float = 30.0,
        failures: int = 3,
        window_s: float = 60.0,
        rest_s: float = 300.0,
        longest_rest_s: float = 3600.0,
        proof_answers: int = 100,
        proof_s: float = 10.0,
    ) -> None:
        if not 0 < first_pause_s <= longest_pause_s or failures < 1 or window_s <= 0:
            raise ValueError(
                "pauses, failures and window must be positive, and the longest pause the longest"
            )
        if not 0 <= rest_s <= longest_rest_s:
            raise ValueError("rest_s must lie between 0 and longest_rest_s")
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._failures = failures
        self._window_s = window_s
        self._rest_s = rest_s
        self._longest_rest_s = longest_rest_s
        self._proof_answers = proof_answers
        self._proof_s = proof_s
        self._recent: Deque[float] = deque(maxlen=failures)  # times of the latest failures
        self._attempts = 0  # failed ones since it last worked for a while
        self._rests = 0
        self._opened_at = -1.0  # negative: not open
        self._next_at = float("-inf")
        self.resting = False

    def opened(self, now: float) -> None:
        """It opened and answers."""
        self._opened_at = now
        self.resting = False

    def failed(self, now: float, answers: int = 0) -> Decision:
        """It crashed, hung or went away during work, or crashed or hung while it was being opened.

        :param answers: how many it has given since it opened
        """
        self._note_work(now, answers)
        self._recent.append(now)
        often = len(self._recent) == self._failures and now - self._recent[0] <= self._window_s
        if often and self._rest_s > 0:
            pause = min(self._rest_s * 2.0 ** min(self._rests, 30), self._longest_rest_s)
            self._rests += 1
            self._recent.clear()
            self.resting = True
            return self._pause(now, pause)
        return self._grow(now)

    def absent(self, now: float) -> Decision:
        """It is not there, busy, or refuses to open in an orderly way."""
        self._note_work(now, 0)
        return self._grow(now)

    def appeared(self) -> None:
        """It was not listed, and now it is: somebody plugged it in, and it may be opened at once."""
        self._start_afresh()
        self.resting = False
        self._next_at = float("-inf")

    def wait_s(self, now: float) -> float:
        """How long to wait before the next attempt; 0 if it may start at once."""
        return max(0.0, self._next_at - now)

    def _note_work(self, now: float, answers: int) -> None:
        if self._opened_at >= 0 and (now - self._opened_at >= self._proof_s or answers >= self._proof_answers):
            self._start_afresh()
        self._opened_at = -1.0

    def _start_afresh(self) -> None:
        self._attempts = 0
        self._rests = 0
        self._recent.clear()

    def _grow(self, now: float) -> Decision:
        self.resting = False
        # The first attempt follows at once: an aborted driver usually opens again.
        pause = 0.0
        if self._attempts:
            pause = min(self._first_pause_s * 2.0 ** min(self._attempts - 1, 30), self._longest_pause_s)
        self._attempts += 1
        return self._pause(now, pause)

    def _pause(self, now: float, pause_s: float) -> Decision:
        self._next_at = now + pause_s
        return Decision(pause_s, self.resting)
