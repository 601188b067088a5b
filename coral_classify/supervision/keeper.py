"""The keeper: one thread that owns a worker process, watches over it, and opens it anew after a fault.

It alone starts and buries children, so that there is one place where a child can be lost.  Whoever wants an
answer takes ``child``, asks it, and hands it back with ``fault`` when that went wrong.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import select
import signal
import threading
import time
import weakref
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional

from ..edgetpu import being_opened, reasons, worth_quoting
from ..errors import CoralClassifyError, DeadlineExceeded, DeviceError, DeviceLost
from ..events import Event
from .childprocess import Child, ChildDied
from .health import Decision, DeviceHealth

__all__ = ["Keeper", "Limits"]

_logger = logging.getLogger("coral_classify.supervised")
_CAUSE = (
    "likely causes: a weak power supply, a bad cable or hub, or heat; `coral-classify doctor` shows link speed, "
    "temperature and what else is wrong"
)
_POLL_S = 1.0  # for a death that no pipe tells of: a foreign fork may hold the child's ends


class Limits(NamedTuple):
    """Deadlines, in seconds."""

    run_s: float = 10.0  # one inference
    first_s: float = 30.0  # the first one after opening: it carries the weights to the device
    open_s: float = 30.0  # opening; the driver itself gives up after 25 s
    patience_s: float = 30.0  # how long a picture may wait for a lost device that has no twin
    close_s: float = 2.0  # for an orderly end
    # The first opening may begin with a trial of driver and runtime (engine/pairing.py), which refuses as slowly.
    trial_s: float = 0.0 if platform.machine() == "x86_64" else 60.0


class Keeper:
    """Keeps one worker running.

    :param name: the device in messages, until the worker tells its own name for it
    :param order: ``factory`` ("module:function") and ``description`` for the worker
    :param tell: receives every event; called from the keeper's thread
    """

    def __init__(
        self,
        name: str,
        order: Dict[str, Any],
        *,
        health: DeviceHealth,
        limits: Limits,
        tell: Callable[[Event], None],
    ) -> None:
        self.name = "the Edge TPU" if name == "auto" else name
        self._device = name  # as it was asked for
        self.losses = 0  # how often it failed at work, or at its first opening
        self.child: Optional[Child] = None  # ready to be asked; None while away
        self.trouble: Optional[CoralClassifyError] = None  # why it is away
        self.away_since = time.monotonic()
        self._order = order
        self._health = health
        self._limits = limits
        self._tell_whom = tell
        self._pid = os.getpid()
        self._events: Deque[Event] = deque()  # not yet told
        self._changed = threading.Condition(threading.Lock())
        self._refused = False  # the first opening failed in an orderly way: all is over
        self._settled = False  # the first opening has come to an end
        self._stopping = False
        self._dying = False  # the child is dead, and the cause not yet told
        self._current: Optional[Child] = None  # also while it opens
        self._accused: Optional[CoralClassifyError] = None
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        # A daemon: a program that forgets close() must still end.  The worker then sees its parent go.
        self._thread = threading.Thread(target=self._main, name="coral-keeper", daemon=True)
        _keepers.add(self)
        try:
            self._thread.start()
        except RuntimeError:
            os.close(self._wake_end)
            os.close(self._wake)
            raise

    # ---- called from the threads that use the session

    @property
    def ended(self) -> bool:
        """True when no child will come any more."""
        return self._refused or self._stopping

    @property
    def gone(self) -> bool:
        """True when the thread has ended and everything is given back."""
        return not self._thread.is_alive()

    def wait_until_settled(self) -> None:
        """Wait for the end of the first opening; it is bounded by the opening deadline."""
        with self._changed:
            while not self._settled:
                self._changed.wait(1.0)

    def wait_for_child(self, until: float, give_up: Callable[[], bool]) -> Optional[Child]:
        """The child, waiting for it until the monotonic time *until*; None if it does not come."""
        with self._changed:
            while self.child is None and not self.ended and not self._health.resting and not give_up():
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.5))
            return self.child

    def fault(self, child: Child, accusation: Optional[CoralClassifyError]) -> CoralClassifyError:
        """Report that *child* failed, and wait until it is buried.

        :param accusation: None if it died, else what is wrong with it
        :returns: why it is away
        """
        with self._changed:
            if self._current is child and self._accused is None:
                self._accused = accusation
        child.kill()  # one that died keeps its exit code; one that talks nonsense goes, too
        self._ring()
        with self._changed:
            while self._current is child and self._thread.is_alive():
                self._changed.wait(0.5)
            return self.trouble or DeviceLost("%s was lost" % self.name, cause="crashed")

    def why_away(self) -> Optional[CoralClassifyError]:
        """Why there is no child; waits until the cause of a death a moment ago is known, and its event queued."""
        with self._changed:
            while self._dying and self._thread.is_alive():
                self._changed.wait(0.5)
            return self.trouble

    def announce(self, kind: str, message: str) -> None:
        """Tell an event from the keeper's thread, after those that came before."""
        self._events.append(Event(kind, self.name, message))
        self._ring()

    def stop(self, wait: bool = True) -> None:
        """End the child and the thread.  With ``wait=False`` safe from a finalizer."""
        if os.getpid() != self._pid:
            return
        self._stopping = True
        self._ring()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join(self._limits.close_s + 12.0)

    def _ring(self) -> None:
        try:
            os.write(self._wake, b"!")
        except OSError:  # full: it is awake already; closed: it has ended
            pass

    # ---- the thread

    def _main(self) -> None:
        try:
            while not self._stopping and self._live_once():
                pass
        except BaseException:
            _logger.exception("the keeper of %s failed", self.name)
        finally:
            with self._changed:
                child, self._current, self.child = self._current, None, None
                self._stopping = True
                self._settled = True
                self._changed.notify_all()
            if child is not None:
                child.bury()
            self._flush()
            wake, self._wake = self._wake, -1
            os.close(wake)
            os.close(self._wake_end)

    def _live_once(self) -> bool:
        """Open the device, watch it until its end.  False if there is nothing to try again."""
        self._rest()
        if self._stopping:
            return False
        again = self._settled
        try:
            on_cpu = self._device == "cpu"
            # The driver shares a device within one process only; on the CPU everybody is better off alone.
            child = Child(dict(self._order, prove=again and not on_cpu), None if on_cpu else self._device)
        except (OSError, CoralClassifyError) as exc:
            reason = (
                exc
                if isinstance(exc, CoralClassifyError)
                else DeviceError("cannot start a worker process: %s" % exc, cause="no process")
            )
            return self._not_opened(reason, orderly=True)
        self._current = child
        try:
            trouble = self._open(child)
        except BaseException:
            child.kill()
            raise
        if self._stopping:
            return False
        if trouble is not None:
            orderly = not isinstance(trouble, (DeviceLost, DeadlineExceeded))
            child.bury(self._limits.close_s if orderly else 0.0)
            return self._not_opened(trouble, orderly=orderly)
        self._health.opened(time.monotonic())
        self.name = child.device or self.name
        with self._changed:
            self.trouble = None
            self._settled = True
            self.child = child
            self._changed.notify_all()
        if again:
            self._tell("back", "%s is back after %.1f s" % (self.name, time.monotonic() - self.away_since))
        self._watch(child)
        if self._stopping:
            with self._changed:
                self.child = None
            # Ctrl-C may have broken a request off, perhaps one that hangs: do not wait long for that.
            child.bury(min(self._limits.close_s, 0.5) if child.busy else self._limits.close_s)
            self._current = None
            return False
        self.away_since = time.monotonic()
        with self._changed:
            self.child = None
            self._dying = True
        trouble = self._accused or self._cause_of_death(child, "during work")
        child.bury()
        decision = self._health.failed(time.monotonic(), child.answers)
        self.losses += 1
        self._tell_loss(trouble, decision)
        self._set_away(trouble)
        return True

    def _rest(self) -> None:
        while not self._stopping:
            left = self._health.wait_s(time.monotonic())
            if left <= 0:
                return
            self._poll([], left)

    def _open(self, child: Child) -> Optional[CoralClassifyError]:
        """None when it is ready, else why not."""
        allowed_s = self._limits.open_s + (0.0 if self._settled or self._device == "cpu" else self._limits.trial_s)
        end = time.monotonic() + allowed_s
        listening = True
        while not self._stopping:
            left = end - time.monotonic()
            if left <= 0:
                self._name_what_was_meant(child)
                return DeadlineExceeded(
                    "opening %s took longer than %.0f s%s" % (self.name, allowed_s, _quote(child)),
                    cause="hang",
                    evidence="\n".join(child.said()),
                )
            wanted = [(child.control, select.POLLIN)]
            if listening:
                wanted.append((child.words, select.POLLIN))
            ready = self._poll(wanted, min(left, _POLL_S))
            if child.words in ready:
                listening = child.listen()
            if child.control in ready or child.ended():
                try:
                    child.finish_opening()
                except ChildDied:
                    return self._cause_of_death(child, "while it was being opened")
                except CoralClassifyError as exc:
                    child.listen()
                    return reasons.with_words(exc, child.said()) if isinstance(exc, DeviceError) else exc
                child.forget()
                return None
        return DeviceError("closed while it was being opened")

    def _watch(self, child: Child) -> None:
        """Until the child dies, is accused, or the session is closed."""
        listening = True
        while not self._stopping and self._accused is None:
            wanted = [(child.control, 0)]
            if listening:
                wanted.append((child.words, select.POLLIN))
            ready = self._poll(wanted, _POLL_S)
            if child.words in ready:
                listening = child.listen()
            if child.control in ready or child.ended():
                return

    def _poll(self, wanted: "List[Any]", timeout_s: float) -> "List[int]":
        self._flush()
        poll = select.poll()
        poll.register(self._wake_end, select.POLLIN)
        for descriptor, events in wanted:
            poll.register(descriptor, events)
        ready = [descriptor for descriptor, _ in poll.poll(max(1.0, timeout_s * 1000.0))]
        if self._wake_end in ready:
            os.read(self._wake_end, 4096)
        return ready

    def _not_opened(self, trouble: CoralClassifyError, *, orderly: bool) -> bool:
        first = not self._settled
        now = time.monotonic()
        decision = self._health.absent(now) if orderly else self._health.failed(now)
        if first and not orderly:
            self.losses += 1
            self._tell_loss(trouble, decision)
        elif not first:
            _logger.debug("%s does not open yet: %s; %s", self.name, trouble, _again(decision.pause_s))
            if decision.rested:
                self._tell_rest(decision.pause_s)
        # At the first opening: the caller made a mistake, or there is no such device.  Do not insist.
        refused = first and orderly
        self._set_away(trouble, refused)
        return not refused

    def _set_away(self, trouble: CoralClassifyError, refused: bool = False) -> None:
        with self._changed:
            self.trouble = trouble
            self._dying = False
            self._accused = None
            self._current = None
            self._refused = refused
            self._settled = True
            self._changed.notify_all()

    def _name_what_was_meant(self, child: Child) -> None:
        """"auto" and "usb" are nobody's name: that of the device which was being opened tells more."""
        self.name = being_opened(child.said()) or self.name

    def _cause_of_death(self, child: Child, when: str) -> DeviceLost:
        way_out = _way_out(child.bury())
        self._name_what_was_meant(child)
        holds = "runs the engine" if self.name == "cpu" else "holds " + self.name
        return reasons.death("the process that %s %s %s" % (holds, way_out, when), child.said())

    def _tell_loss(self, trouble: CoralClassifyError, decision: Decision) -> None:
        what_next = "" if decision.rested else "; " + _again(decision.pause_s)
        self._tell("lost", "%s lost: %s%s" % (self.name, trouble, what_next))
        if decision.rested:
            self._tell_rest(decision.pause_s)

    def _tell_rest(self, pause_s: float) -> None:
        self._tell("rested", "%s failed repeatedly and rests for %.0f s; %s" % (self.name, pause_s, _CAUSE))

    def _tell(self, kind: str, message: str) -> None:
        self._events.append(Event(kind, self.name, message))

    def _flush(self) -> None:
        while self._events:
            self._tell_whom(self._events.popleft())


_keepers: "weakref.WeakSet[Keeper]" = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """A program that forgot close() still hands its devices back in an orderly way."""
    for keeper in list(_keepers):
        keeper.stop(wait=False)
    for keeper in list(_keepers):
        keeper.stop()


def _again(pause_s: float) -> str:
    return "trying again at once" if pause_s <= 0 else "trying again in %g s" % pause_s


def _way_out(code: Optional[int]) -> str:
    if code is None:
        return "ended"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "signal %d" % -code
        return {"SIGABRT": "aborted (SIGABRT)", "SIGSEGV": "crashed (SIGSEGV)"}.get(name, "died of " + name)
    return "ended with code %d" % code


def _quote(child: Child) -> str:
    line = worth_quoting(child.said())
    return ": %s" % line[:300] if line else ""
