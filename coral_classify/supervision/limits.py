"""How long a supervised session waits for what."""

from __future__ import annotations

import platform
from typing import NamedTuple

__all__ = ["Limits"]


class Limits(NamedTuple):
    """Deadlines, in seconds, and one choice."""

    run_s: float = 10.0  # one inference
    first_s: float = 30.0  # the first one after opening: it carries the weights to the device
    open_s: float = 30.0  # opening; the driver itself gives up after 25 s
    patience_s: float = 30.0  # how long a picture may wait for a lost device that has no twin
    close_s: float = 2.0  # for an orderly end
    # The first opening may begin with a trial of driver and runtime (engine/pairing.py), which refuses as slowly.
    trial_s: float = 0.0 if platform.machine() == "x86_64" else 60.0
    notice_s: float = 1.0  # a first opening that takes longer says what it is doing
    # No deadline: whether a device that came back answers once before a picture is entrusted to it.
    prove: bool = True

    @classmethod
    def of(cls, deadline_ms: float) -> "Limits":
        """For an inference that may take so long; the first one gets three times that, two seconds more at least."""
        run_s = deadline_ms / 1000.0
        return cls(run_s=run_s, first_s=max(3.0 * run_s, run_s + 2.0))

    def of_request(self, requests: int, proven: bool) -> float:
        """Seconds for the next request.

        :param requests: how many inferences were asked for since the opening
        :param proven: one was done while it was opened
        """
        return self.first_s if requests == 0 and not proven else self.run_s
