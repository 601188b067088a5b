"""A session whose engine and driver live in a child process: it outlives their crashes and hangs.

This module is the policy: which process answers a picture, and what happens when one fails.  The processes
are the keepers' business (:mod:`.keeper`), the pauses those of :mod:`.health`.

The CPU twin that stands in for a lost device runs in a worker of its own, started at the first loss and
ended when the device is back.  In this process it would start sooner by a moment, but bring an engine
(memory, native threads, its own crashes) into a process that was promised to be free of them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

import numpy as np

from ..edgetpu import reasons
from ..errors import (
    CoralClassifyError,
    DeadlineExceeded,
    DeviceError,
    EngineError,
    ModelError,
    SessionClosed,
    UsageError,
)
from ..events import ON_DEVICE_LOSS, Event, Teller
from ..processes import interpreter
from ..types import Answer, Session, TensorSpec
from .childprocess import Child, ChildDied, ChildHung, Tensors
from .health import DeviceHealth
from .keeper import Keeper, Limits
from .tensors import shared_sets

__all__ = ["SupervisedSession", "Event", "Limits", "check_policy", "decide"]

_FACTORY = "coral_classify.engine:open_described"
_GRACE_S = 1.0  # for a run in progress when the session is closed
_TRIES = 3  # per picture: one that kills three workers in a row is given up

Answered = TypeVar("Answered")

_logger = logging.getLogger("coral_classify.supervised")


def check_policy(deadline_ms: float, on_device_loss: str) -> None:
    """:raises UsageError: on a value that cannot be meant"""
    if on_device_loss not in ON_DEVICE_LOSS:
        allowed = ", ".join(ON_DEVICE_LOSS)
        raise UsageError("on_device_loss is %r; it is one of %s" % (on_device_loss, allowed))
    if not (math.isfinite(deadline_ms) and deadline_ms > 0):
        raise UsageError("deadline_ms is %r; give a positive number of milliseconds" % (deadline_ms,))


def decide(supervised: Optional[bool], device: str) -> bool:
    """Whether a session on *device* is to be supervised; None leaves it to us.

    :raises UsageError: if it was asked for where it cannot work
    """
    if supervised is None:
        if device == "cpu":
            return False
        try:
            interpreter()
        except UsageError as exc:
            _logger.warning("%s runs unsupervised: %s", device, exc)
            return False
        return True
    if supervised:
        interpreter()
    return supervised


class SupervisedSession(Session):
    """The session contract, kept by a child process.

    :param description: JSON-able; what the worker opens (see :func:`coral_classify.engine.open_described`)
    :param twin: description of the same network for the CPU; None if there is none
    :param device: the wanted device, for messages until it is open: ``"usb:0"``, ``"cpu"``
    :param deadline_ms: for one inference; the first one after an opening gets three times as long, and two
        seconds at least
    :param on_device_loss: ``"cpu"``: go on on the twin, meanwhile try the device again (without a twin:
        as ``"retry"``); ``"retry"``: wait for the device, within bounds; ``"raise"``: let the picture in
        flight fail at once
    :param on_event: called with each :class:`Event`, from a thread of the session's; keep it short
    :param limits: deadlines in detail; wins over *deadline_ms*
    :param health: pauses between attempts
    :param factory: ``"module:function"`` called with the description in the worker; a seam for tests
    :raises UsageError: on a value that cannot be meant, or where no worker can run (Windows, a frozen app)
    :raises CoralClassifyError: what opening raised; :class:`DeviceLost` or :class:`DeadlineExceeded` if it
        crashed or hung and neither twin nor policy can help
    """

    def __init__(
        self,
        description: Dict[str, Any],
        *,
        twin: Optional[Dict[str, Any]] = None,
        device: str = "cpu",
        deadline_ms: float = 10000.0,
        on_device_loss: str = "cpu",
        on_event: Optional[Callable[[Event], None]] = None,
        limits: Optional[Limits] = None,
        health: Optional[DeviceHealth] = None,
        factory: str = _FACTORY,
    ) -> None:
        check_policy(deadline_ms, on_device_loss)
        interpreter()
        if limits is None:
            run_s = deadline_ms / 1000.0
            limits = Limits(run_s=run_s, first_s=max(3.0 * run_s, run_s + 2.0))
        self._limits = limits
        self._policy = on_device_loss
        self._on_cpu = device == "cpu"
        self._twin_order = None if twin is None or self._on_cpu else {"factory": factory, "description": twin}
        self._tell = Teller(on_event)
        self._twin: Optional[Keeper] = None
        self._failed_over = False  # told so since the device was lost
        self._losses_seen = 0
        self._twin_losses_seen = 0
        self._leaving = False
        self._answers = threading.local()
        # A crashing engine on the CPU is no device that could need a rest.
        health = health or (_for_cpu() if self._on_cpu else DeviceHealth())
        self._keeper = Keeper(
            device,
            {"factory": factory, "description": description},
            health=health,
            limits=limits,
            tell=self._tell,
        )
        keepers = [self._keeper]
        self._keepers = keepers
        self._finalizer = weakref.finalize(self, _stop_all, keepers)
        try:
            first = self._first_child()
        except BaseException:
            self._stop()
            raise
        super().__init__(first.inputs, first.outputs, device=first.device or device)

    @classmethod
    def open(
        cls,
        model: str,
        device: str,
        *,
        twin: Optional[str] = None,
        engine: Optional[str] = None,
        threads: Optional[int] = None,
        options: Optional[Dict[str, Any]] = None,
        deadline_ms: float = 10000.0,
        on_device_loss: str = "cpu",
        on_event: Optional[Callable[[Event], None]] = None,
        any_network: bool = False,
    ) -> "SupervisedSession":
        """A supervised session over the engine.

        :param model: path of the compiled file for an Edge TPU, of the plain one for ``device="cpu"``
        :param twin: path of the plain file that stands in for a lost device
        :param options: fields of :class:`coral_classify.edgetpu.driver.Options`
        :param any_network: both files may be other networks than classifiers
        :raises CoralClassifyError: as the constructor
        """
        # Here and not above: a session with a factory of its own needs no engine.
        from ..engine import describe

        stand_in = None
        if twin is not None:
            stand_in = describe(twin, "cpu", engine=engine, threads=threads, any_network=any_network)
        return cls(
            describe(model, device, engine=engine, threads=threads, options=options, any_network=any_network),
            twin=stand_in,
            device=device,
            deadline_ms=deadline_ms,
            on_device_loss=on_device_loss,
            on_event=on_event,
        )

    @property
    def answer(self) -> Answer:
        """Who answered the latest ``run`` of this thread."""
        latest: Answer = getattr(self._answers, "latest", None) or super().answer
        return latest

    @property
    def trouble(self) -> Optional[str]:
        """Why the wanted device is away at present; None if it is there."""
        keeper = self._keeper
        return None if keeper.child is not None or keeper.trouble is None else str(keeper.trouble)

    def input_sets(self, count: int) -> "List[Tensors]":
        try:
            return shared_sets(self.inputs, count)
        except OSError as exc:
            _logger.debug("no memory for %d shared tensors (%s): they are copied", count, exc)
            return super().input_sets(count)

    def output_sets(self, count: int) -> "List[Tensors]":
        try:
            return shared_sets(self.outputs, count)
        except OSError as exc:
            _logger.debug("no memory for %d shared tensors (%s): they are copied", count, exc)
            return super().output_sets(count)

    def close(self) -> None:
        """As :meth:`Session.close`; but a run in progress is given a second, then its worker is ended."""
        self._leaving = True  # a run that waits for a lost device ends by this
        if self._lock.acquire(timeout=_GRACE_S):
            self._lock.release()
        else:  # and one that hangs, by this: whoever presses Ctrl-C does not wait for its deadline
            _stop_all(self._keepers)
        super().close()

    # ---- the policy

    def _run(self, tensor: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        return self._asked(lambda child, deadline_s: child.request((tensor,), deadline_s))[0]

    def _run_before(self, tensor: "np.ndarray[Any, Any]", then: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        return self._asked(lambda child, deadline_s: child.request((tensor,), deadline_s, (then,)))[0]

    def _run_all(
        self,
        tensors: "Sequence[np.ndarray[Any, Any]]",
        then: "Optional[Sequence[np.ndarray[Any, Any]]]",
        into: "Optional[Sequence[np.ndarray[Any, Any]]]",
    ) -> "Tensors":
        following = None if then is None else tuple(then)
        places = None if into is None else tuple(into)
        return self._asked(lambda child, deadline_s: child.request(tuple(tensors), deadline_s, following, places))

    def _call(self, verb: str, plain: Dict[str, Any]) -> Any:
        def ask(child: Child, deadline_s: float) -> Tuple[Any, Optional[CoralClassifyError]]:
            try:
                return child.call(verb, plain, deadline_s), None
            except CoralClassifyError as exc:  # told in an orderly way: no fault of the device's
                return None, exc

        answer, refusal = self._asked(ask)
        if refusal is not None:
            raise refusal
        return answer

    def _asked(self, ask: Callable[[Child, float], Answered]) -> Answered:
        """The answer of the device, or of its twin.

        :param ask: asks a child for it, within so many seconds
        """
        keeper = self._keeper
        trouble: Optional[CoralClassifyError] = None
        for _ in range(_TRIES):
            child = keeper.child
            if child is None:
                trouble = trouble or keeper.why_away()
                if self._policy == "raise" and not self._on_cpu:
                    break
                if self._can_fail_over():
                    return self._asked_of_twin(ask)
                child = keeper.wait_for_child(self._patience(), lambda: self._leaving)
                if child is None:
                    break
            self._check_fit(child)
            deadline_s = self._deadline(child)
            try:
                answer = ask(child, deadline_s)
            except (ChildDied, ChildHung, DeviceError, EngineError) as exc:
                if isinstance(exc, EngineError) and self._on_cpu:
                    raise  # the engine refuses this model or input in an orderly way
                trouble = keeper.fault(child, self._accusation(exc, keeper.name, deadline_s))
                if self._policy == "raise" and not self._on_cpu:
                    break
                continue
            self._device_answered(child)
            return answer
        else:
            if self._can_fail_over():
                return self._asked_of_twin(ask)
        if self._leaving:
            raise SessionClosed("the session was closed while it waited for %s" % keeper.name)
        self._losses_seen = keeper.losses
        raise self._final(trouble or keeper.trouble)

    def _device_answered(self, child: Child) -> None:
        recovered = self._keeper.losses != self._losses_seen
        self._losses_seen = self._keeper.losses
        self.device = child.device
        self._answers.latest = Answer(child.device, recovered, None)
        if self._failed_over:
            self._failed_over = False
            self._drop_twin()

    def _can_fail_over(self) -> bool:
        return self._policy == "cpu" and self._twin_order is not None

    def _asked_of_twin(self, ask: Callable[[Child, float], Answered]) -> Answered:
        trouble: Optional[CoralClassifyError] = None
        if not self._failed_over:
            self._failed_over = True
            self._keeper.announce("failed_over", "going on on the CPU while %s is away" % self._keeper.name)
        for _ in range(_TRIES):
            child = self._twin_child()
            self._check_fit(child)
            deadline_s = self._deadline(child)
            try:
                answer = ask(child, deadline_s)
            except (ChildDied, ChildHung) as exc:
                assert self._twin is not None
                trouble = self._twin.fault(child, self._accusation(exc, "the CPU twin", deadline_s))
                continue
            why = "%s is away: %s" % (self._keeper.name, self._keeper.trouble or "it is being opened")
            recovered = self._keeper.losses != self._losses_seen or trouble is not None
            self._losses_seen = self._keeper.losses
            self.device = child.device
            self._answers.latest = Answer(child.device, recovered, why)
            return answer
        raise self._final(trouble)

    def _twin_child(self) -> Child:
        assert self._twin_order is not None
        if self._twin is not None and self._twin.child is None and self._twin.ended:
            self._drop_twin()
        if self._twin is None:
            self._twin = Keeper(
                "cpu", self._twin_order, health=_for_cpu(), limits=self._limits, tell=self._tell
            )
            self._keepers[:] = [keeper for keeper in self._keepers if not keeper.gone] + [self._twin]
            self._twin.wait_until_settled()
        child = self._twin.wait_for_child(time.monotonic() + self._limits.open_s, lambda: self._leaving)
        if child is None:
            if self._leaving:
                raise SessionClosed("the session was closed while its CPU twin was being opened")
            raise self._final(self._twin.trouble)
        return child

    def _drop_twin(self) -> None:
        """Let the twin's worker go, without waiting for it; ``close`` waits."""
        if self._twin is not None:
            self._twin.stop(wait=False)
            self._twin = None

    def _deadline(self, child: Child) -> float:
        return self._limits.first_s if child.requests == 0 and not child.proven else self._limits.run_s

    def _patience(self) -> float:
        """Until when a picture may wait for the device: counted from its loss, not from the picture."""
        return max(self._keeper.away_since, 0.0) + self._limits.patience_s

    def _check_fit(self, child: Child) -> None:
        """A twin, or a file that was replaced meanwhile, must be the same network to its user."""
        if child.inputs == self.inputs and child.outputs == self.outputs:
            return
        for mine, its, what in ((self.inputs, child.inputs, "input"), (self.outputs, child.outputs, "output")):
            if len(mine) != len(its):
                raise ModelError(
                    "the model on %s differs from the one that this session was opened with: it has %d %ss, not %d; "
                    "compiled file and CPU twin must come from one network" % (child.device, len(its), what, len(mine))
                )
            for one, other in zip(mine, its):
                if not _are_alike(one, other):
                    raise ModelError(
                        "the model on %s differs from the one that this session was opened with: its %s is %s, "
                        "not %s; compiled file and CPU twin must come from one network"
                        % (child.device, what, other, one)
                    )

    def _accusation(self, exc: Exception, name: str, deadline_s: float) -> Optional[CoralClassifyError]:
        if isinstance(exc, ChildDied):
            return None
        if isinstance(exc, ChildHung):
            return DeadlineExceeded(
                "%s did not answer within %.0f ms" % (name, 1000.0 * deadline_s), cause="hang"
            )
        assert isinstance(exc, CoralClassifyError)
        return exc

    def _final(self, trouble: Optional[CoralClassifyError]) -> CoralClassifyError:
        """The error for a picture that could not be answered."""
        name = self._keeper.name
        text = str(trouble) if trouble is not None else "%s is away" % name
        if self._on_cpu:
            kind = DeadlineExceeded if isinstance(trouble, DeadlineExceeded) else EngineError
            return kind("%s; the engine was started anew; if this picture does it again, report it" % text)
        if not isinstance(trouble, DeviceError):
            return trouble or DeviceError(text)
        mend = reasons.MENDS.get(trouble.cause)
        hint = (mend + "; " if mend and mend not in text else "") + reasons.TRIED_AGAIN
        if not self._can_fail_over() and self._policy != "raise":
            hint += "; a CPU twin of the model beside it would have answered"
        return type(trouble)("%s; %s" % (text, hint), cause=trouble.cause, evidence=trouble.evidence)

    # ---- beginning and end

    def _first_child(self) -> Child:
        keeper = self._keeper
        keeper.wait_until_settled()
        if keeper.child is not None:
            return keeper.child
        trouble = keeper.trouble
        assert trouble is not None
        if keeper.ended or self._policy == "raise":
            raise trouble
        if self._can_fail_over():
            return self._twin_child()
        child = keeper.wait_for_child(time.monotonic() + self._limits.patience_s, lambda: False)
        if child is None:
            raise keeper.trouble or trouble
        return child

    def _close(self) -> None:
        self._stop()

    def _stop(self) -> None:
        self._leaving = True
        for keeper in self._keepers:
            keeper.stop(wait=False)
        for keeper in self._keepers:
            keeper.stop()
        self._finalizer.detach()


def _are_alike(one: TensorSpec, other: TensorSpec) -> bool:
    """The same to a user: the compiler rounds scales a little."""
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and one.quantization.zero_point == other.quantization.zero_point
        and math.isclose(one.quantization.scale, other.quantization.scale, rel_tol=1e-3)
    )


def _for_cpu() -> DeviceHealth:
    return DeviceHealth(first_pause_s=0.5, longest_pause_s=5.0, rest_s=0.0)


def _stop_all(keepers: List[Keeper]) -> None:
    for keeper in list(keepers):
        keeper.stop(wait=False)
