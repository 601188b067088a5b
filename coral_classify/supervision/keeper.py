"""The keeper: one thread that owns a worker process, watches over it, and opens it anew after a fault.

It alone starts and buries children, so that there is one place where a child can be lost.  Whoever wants an
answer takes ``child``, asks it, and hands it back with ``fault`` when that went wrong.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from typing import Any, Callable, Dict, Optional

from ..edgetpu import being_opened, reasons
from ..errors import CoralClassifyError, DeadlineExceeded, DeviceError, DeviceLost, ModelError
from ..events import Event
from .childprocess import Child, ChildDied, ChildHung
from .health import DeviceHealth
from .limits import Limits
from .notices import Notices, is_crash, quote, way_out
from .vigil import Vigil

__all__ = ["Keeper", "Limits", "is_passing"]

_logger = logging.getLogger("coral_classify.supervised")


_LOOK_S = 0.25  # between two looks at whether a device is listed again; looking opens nothing
# What another try cannot mend: a library, a model, and an argument stay what they are.
_FINAL = {"no-library", "no-libusb", "old-system", "broken-library", "pairing", "refused", "runtime-version",
          "no-compiled", "no-twin"}


class Keeper:
    """Keeps one worker running.

    :param name: the device in messages, until the worker tells its own name for it
    :param order: ``factory`` ("module:function") and ``description`` for the worker
    :param tell: receives every event; called from the keeper's thread
    :param is_listed: whether the driver lists the device; opens nothing.  None: that cannot be known
    :param insist: a device that is refused at its first opening is tried again in the background, like a lost one
    """

    def __init__(
        self,
        name: str,
        order: Dict[str, Any],
        *,
        health: DeviceHealth,
        limits: Limits,
        tell: Callable[[Event], None],
        is_listed: Optional[Callable[[], bool]] = None,
        insist: bool = False,
    ) -> None:
        self.name = {"auto": "the Edge TPU", "shared": "the shared accelerator"}.get(name, name)
        self._device = name  # as it was asked for
        self.losses = 0  # how often it failed at work, or at its first opening
        self.child: Optional[Child] = None  # ready to be asked; None while away
        self.trouble: Optional[CoralClassifyError] = None  # why it is away
        self.away_since = time.monotonic()
        self._order = order
        self._health = health
        self._limits = limits
        self._is_listed = is_listed
        self._insist = insist
        self.opened_once = False  # it has been there
        self._notices = Notices(tell)
        self._pid = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._refused = False  # the first opening failed in an orderly way: all is over
        self._settled = False  # the first opening has come to an end
        self._slow = False  # the first opening took so long that it was told
        self._crashes = 0  # in openings
        self._stopping = False
        self._dying = False  # the child is dead, and the cause not yet told
        self._current: Optional[Child] = None  # also while it opens
        self._accused: Optional[CoralClassifyError] = None
        self._vigil = Vigil(self._notices)
        # A daemon: a program that forgets close() must still end.  The worker then sees its parent go.
        self._thread = threading.Thread(target=self._main, name="coral-keeper", daemon=True)
        _keepers.add(self)
        try:
            self._thread.start()
        except RuntimeError:
            self._vigil.end()
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

    def wait_until_settled(self, timeout_s: Optional[float] = None) -> bool:
        """Wait for the end of the first opening; it is bounded by the opening deadline.

        :returns: whether it has come to its end within *timeout_s* (None: however long it takes)
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._settled and (end is None or time.monotonic() < end):
                self._changed.wait(1.0 if end is None else max(0.0, min(1.0, end - time.monotonic())))
            return self._settled

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
        :returns: what *child* ended of
        """
        with self._changed:
            if self._current is child and self._accused is None:
                self._accused = accusation
        child.kill()  # one that died keeps its exit code; one that talks nonsense goes, too
        self._vigil.ring()
        with self._changed:
            while self._current is child and self._thread.is_alive():
                self._changed.wait(0.5)
            # Not self.trouble first: the next opening may have come to its own end meanwhile.
            return child.trouble or self.trouble or DeviceLost("%s was lost" % self.name, cause="crashed")

    def why_away(self) -> Optional[CoralClassifyError]:
        """Why there is no child; waits until the cause of a death a moment ago is known, and its event queued."""
        with self._changed:
            while self._dying and self._thread.is_alive():
                self._changed.wait(0.5)
            return self.trouble

    def announce(self, kind: str, message: str) -> None:
        """Tell an event from the keeper's thread, after those that came before."""
        self._notices.add(kind, self.name, message)
        self._vigil.ring()

    def stop(self, wait: bool = True) -> None:
        """End the child and the thread.  With ``wait=False`` safe from a finalizer."""
        if os.getpid() != self._pid:
            return
        self._stopping = True
        self._vigil.ring()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join(self._limits.close_s + 12.0)

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
            self._notices.flush()
            self._vigil.end()

    def _live_once(self) -> bool:
        """Open the device, watch it until its end.  False if there is nothing to try again."""
        self._rest()
        if self._stopping:
            return False
        again = self._settled
        try:
            on_cpu = self._device == "cpu"
            # The driver shares a device within one process only; on the CPU everybody is better off alone.
            prove = again and not on_cpu and self._limits.prove
            child = Child(dict(self._order, prove=prove), None if on_cpu else self._device)
        except (OSError, CoralClassifyError) as exc:
            if isinstance(exc, OSError):
                exc = DeviceError("cannot start a worker process: %s" % exc, cause="no process")
            return self._not_opened(exc, orderly=True)
        self._current = child
        try:
            trouble = self._opened(child)
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
        before, self.opened_once = self.opened_once, True
        with self._changed:
            self.trouble = None
            self._settled = True
            self.child = child
            self._changed.notify_all()
        if again or self._slow:
            kind, what = ("back", "is back") if before or self.losses else ("open", "is open")
            took_s = time.monotonic() - self.away_since
            self._notices.add(kind, self.name, "%s %s after %.1f s" % (self.name, what, took_s))
        self._vigil.until_end(child, lambda: self._stopping or self._accused is not None)
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
        trouble = child.trouble = self._accused or self._cause_of_death(child, "during work")
        child.bury()
        decision = self._health.failed(time.monotonic(), child.answers)
        self.losses += 1
        self._notices.lost(self.name, trouble, decision)
        self._set_away(trouble)
        return True

    def _rest(self) -> None:
        """Until the next attempt; one that was not listed and appears is opened at once, whatever the pause."""
        missing = False
        while not self._stopping:
            left = self._health.wait_s(time.monotonic())
            if self._settled and self._is_listed is not None:
                listed = self._is_listed()
                if listed and missing:
                    self._health.appeared()
                    return
                missing = missing or not listed
            if left <= 0:
                return
            self._vigil.poll([], left if self._is_listed is None else min(left, _LOOK_S))

    def _opened(self, child: Child) -> Optional[CoralClassifyError]:
        """None when it is ready, else why not."""
        notice_s = self._limits.notice_s if not self._settled else None
        allowed_s = self._limits.open_s + (0.0 if self._settled or self._device == "cpu" else self._limits.trial_s)

        def notice() -> None:
            self._slow = True
            self._notices.opening(self.name, allowed_s, self._insist)

        try:
            self._vigil.until_open(child, allowed_s, lambda: self._stopping, notice_s, notice)
        except ChildDied:
            return self._cause_of_death(child, "while it was being opened")
        except ChildHung:
            self._name_what_was_meant(child)
            return DeadlineExceeded(
                "opening %s took longer than %.0f s%s" % (self.name, allowed_s, quote(child.said())),
                cause="hang",
                evidence="\n".join(child.said()),
            )
        except CoralClassifyError as exc:
            child.listen()
            return reasons.with_words(exc, child.said()) if isinstance(exc, DeviceError) else exc
        return None

    def _not_opened(self, trouble: CoralClassifyError, *, orderly: bool) -> bool:
        first = not self._settled
        now = time.monotonic()
        decision = self._health.absent(now) if orderly else self._health.failed(now)
        if first and not orderly:
            self.losses += 1
            self._notices.lost(self.name, trouble, decision)
        elif not first:
            _logger.debug("%s does not open yet: %s; next try in %g s", self.name, trouble, decision.pause_s)
            if decision.rested:
                self._notices.rested(self.name, decision.pause_s)
        suspect = self._suspect(trouble) if not orderly else None
        if suspect is not None:
            self._set_away(suspect, True)
            return False
        # At the first opening: the caller made a mistake, or there is no such device.  Do not insist.
        refused = first and orderly and not (self._insist and is_passing(trouble))
        if first and orderly and not refused:
            self._notices.absent(self.name, trouble)
        self._set_away(trouble, refused)
        return not refused

    def _suspect(self, trouble: CoralClassifyError) -> Optional[ModelError]:
        """A model that takes its process along at every opening; None as long as that is not known of it.

        On a device it may be the driver that crashes; on the CPU there is nobody else.
        """
        if self.opened_once or self._crashes < 2 or self._device != "cpu":
            return None
        model = self._order["description"].get("model")
        return ModelError(
            "%s: crashed the process that opened it, twice; the file itself is the suspect: copy or download it again, "
            "or convert it anew (%s)" % ("model %s" % model if model else "this model", trouble)
        )

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
        code = child.bury()
        self._crashes += is_crash(code)  # not if somebody killed it
        self._name_what_was_meant(child)
        holds = "runs the engine" if self.name == "cpu" else "holds " + self.name
        return reasons.death("the process that %s %s %s" % (holds, way_out(code), when), child.said())

def is_passing(trouble: CoralClassifyError) -> bool:
    """Whether a device that was refused so may be had later."""
    return isinstance(trouble, DeviceError) and trouble.cause not in _FINAL


_keepers: "weakref.WeakSet[Keeper]" = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """A program that forgot close() still hands its devices back in an orderly way."""
    for keeper in list(_keepers):
        keeper.stop(wait=False)
    for keeper in list(_keepers):
        keeper.stop()
