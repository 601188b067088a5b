"""A command of the user's for each change of the answer.  No shell: what a label says is never taken for a command."""
from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from typing import Dict, List

from ..errors import UsageError
from .showing import printable

__all__ = ["Command"]

_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox")
_PLACES = ("{label}", "{score}", "{time}")
_AT_ONCE = 4        # commands that may run at the same time
_GRACE_S = 0.5      # for them to end when the watching does


class Command:
    """The words of a command, to be filled in and run.

    :param text: as it would be typed, with {label}, {score}, {time} where they are wanted
    :raises UsageError: if it cannot be run, or would let a shell read a label
    """

    def __init__(self, text: str) -> None:
        try:
            self._words = shlex.split(text)
        except ValueError as exc:
            raise UsageError("--on-change %s: %s" % (text, exc)) from exc
        if not self._words or shutil.which(self._words[0]) is None:
            raise UsageError("--on-change %s: no such program" % (self._words[0] if self._words else "''"))
        if any(os.path.basename(word) in _SHELLS for word in self._words) \
                and any(place in word for word in self._words for place in _PLACES):
            raise UsageError("--on-change: a shell would take a label for commands; write \"$CORAL_CLASSIFY_LABEL\" in "
                             "place of {label} there")
        self._running: List["subprocess.Popen[bytes]"] = []

    def run(self, label: str, score: float, at: str) -> None:
        """Start it, and do not wait for it."""
        self._running = [process for process in self._running if process.poll() is None]
        if len(self._running) >= _AT_ONCE:
            print("coral-classify: --on-change: %d commands are still running; this change is passed over"
                  % len(self._running), file=sys.stderr)
            return
        values = {"{label}": label, "{score}": "%.4f" % score, "{time}": at}
        environment = dict(os.environ, CORAL_CLASSIFY_LABEL=label, CORAL_CLASSIFY_SCORE=values["{score}"],
                           CORAL_CLASSIFY_TIME=at)
        try:
            # Its output is no result of ours: standard output may be read by a program.
            self._running.append(subprocess.Popen([_filled(word, values) for word in self._words], env=environment,
                                                  stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()))
        except (OSError, ValueError) as exc:
            print("coral-classify: --on-change: %s" % printable(str(exc)), file=sys.stderr)

    def close(self) -> None:
        """No command outlives the watching."""
        until = time.monotonic() + _GRACE_S
        for process in self._running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _filled(word: str, values: Dict[str, str]) -> str:
    """Each place once, so that a label with braces in it stays what it is.

    >>> _filled("{label}: {score}", {"{label}": "{score}", "{score}": "0.5", "{time}": ""})
    '{score}: 0.5'
    """
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found.group()], word)
