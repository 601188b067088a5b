"""A session whose engine and driver live in a child process: it outlives their crashes and hangs.

This module is the policy: which process answers a picture, and what happens when one fails.  The processes
are the keepers' business (:mod:`.keeper`), the pauses those of :mod:`.health`, the CPU twin that of :mod:`.twin`.
"""

from __future__ import annotations

import functools
import threading
import time
import weakref
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

import numpy as np

from ..edgetpu import is_listed as driver_lists
from ..errors import CoralClassifyError, DeviceError, EngineError, SessionClosed
from ..events import Event, Teller
from ..processes import interpreter
from ..types import Answer, Session
from .childprocess import Child, ChildDied, ChildHung, Tensors
from .health import DeviceHealth
from .keeper import Keeper
from .limits import Limits
from .policy import accusation, check_fit, check_policy, final, why_twin
from .tensors import shared_if_possible
from .twin import Twin, health_on_cpu

__all__ = ["SupervisedSession", "Event", "Limits"]

_FACTORY = "coral_classify.engine:open_described"
_GRACE_S = 1.0  # for a run in progress when the session is closed
_TRIES = 3  # per picture: one that kills three workers in a row is given up

Answered = TypeVar("Answered")


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
    :param thread_factory: another one for the device, called in a thread of this process: for a session that waits for
        others and cannot crash.  The twin has its worker all the same
    :param grace_s: with a twin and ``"cpu"``: how long the first opening may keep the caller waiting; after that, and
        where the device is refused, the twin answers, and the device takes over once it is open.  None: wait for the
        end of the first opening, and raise what it raised
    :param is_listed: whether the driver lists the device at present; None: that cannot be known
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
        thread_factory: Optional[str] = None,
        grace_s: Optional[float] = None,
        is_listed: Optional[Callable[[], bool]] = None,
    ) -> None:
        check_policy(deadline_ms, on_device_loss)
        interpreter()
        self._limits = limits = limits or Limits.of(deadline_ms)
        self._policy = on_device_loss
        self._on_cpu = device == "cpu"
        tell = Teller(on_event)
        self._keepers: List[Keeper] = []
        self._twin: Optional[Twin] = None
        if twin is not None and not self._on_cpu:
            order = {"factory": factory, "description": twin}
            self._twin = Twin(order, limits=limits, tell=tell, keepers=self._keepers)
        self._grace_s = grace_s if self._can_fail_over() else None
        self._failed_over = False  # told so since the device was lost
        self._losses_seen = 0
        self._leaving = False
        self._answers = threading.local()
        health = health or (health_on_cpu() if self._on_cpu else DeviceHealth())
        self._keeper = Keeper(
            device,
            {"factory": thread_factory or factory, "description": description, "in_thread": thread_factory is not None},
            health=health,
            limits=limits,
            tell=tell,
            is_listed=is_listed,
            insist=self._grace_s is not None,
        )
        self._keepers.append(self._keeper)
        self._finalizer = weakref.finalize(self, _stop_all, self._keepers)
        try:
            first = self._first_child()
        except BaseException:
            self._close()
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
        grace_s: Optional[float] = None,
    ) -> "SupervisedSession":
        """A supervised session over the engine.

        :param model: path of the compiled file for an Edge TPU, of the plain one for ``device="cpu"``
        :param twin: path of the plain file that stands in for a lost device
        :param options: fields of :class:`coral_classify.edgetpu.Options`
        :param any_network: both files may be other networks than classifiers
        :param grace_s: as for the constructor
        :raises CoralClassifyError: as the constructor
        """
        # Here and not above: a session with a factory of its own needs no engine.
        from ..engine import describe

        return cls(
            describe(model, device, engine=engine, threads=threads, options=options, any_network=any_network),
            twin=describe(twin, "cpu", engine=engine, threads=threads, any_network=any_network) if twin else None,
            device=device,
            deadline_ms=deadline_ms,
            on_device_loss=on_device_loss,
            on_event=on_event,
            grace_s=grace_s,
            is_listed=None if device in ("cpu", "shared") else functools.partial(driver_lists, device),
            health=DeviceHealth(longest_pause_s=2.0, rest_s=0.0) if device == "shared" else None,
        )

    @property
    def answer(self) -> Answer:
        """Who answered the latest ``run`` of this thread."""
        return getattr(self._answers, "latest", super().answer)

    @property
    def trouble(self) -> Optional[str]:
        """Why the wanted device is away at present; None if it is there."""
        keeper = self._keeper
        return None if keeper.child is not None or keeper.trouble is None else str(keeper.trouble)

    def is_there(self, within_s: float = 0.0) -> bool:
        """Whether the wanted device is open, waiting for it so long."""
        return self._keeper.wait_for_child(time.monotonic() + within_s, lambda: self._leaving) is not None

    @property
    def reason(self) -> Optional[str]:
        return self._why_twin() if self._keeper.child is None and self._can_fail_over() else None

    def _why_twin(self) -> str:
        keeper = self._keeper
        twin = self._twin.name if self._twin is not None else ""
        return why_twin(keeper.name, keeper.trouble, twin, expected=keeper.losses > 0 or self._grace_s is None)

    def input_sets(self, count: int) -> "List[Tensors]":
        return shared_if_possible(self.inputs, count) or super().input_sets(count)

    def output_sets(self, count: int) -> "List[Tensors]":
        return shared_if_possible(self.outputs, count) or super().output_sets(count)

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
            check_fit(self.inputs, self.outputs, child)
            deadline_s = self._limits.of_request(child.requests, child.proven)
            try:
                answer = ask(child, deadline_s)
            except (ChildDied, ChildHung, DeviceError, EngineError) as exc:
                if isinstance(exc, EngineError) and self._on_cpu:
                    raise  # the engine refuses this model or input in an orderly way
                trouble = keeper.fault(child, accusation(exc, keeper.name, deadline_s))
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
        if self._failed_over and self._twin is not None:
            self._failed_over = False
            self._twin.drop()

    def _can_fail_over(self) -> bool:
        return self._policy == "cpu" and self._twin is not None

    def _asked_of_twin(self, ask: Callable[[Child, float], Answered]) -> Answered:
        trouble: Optional[CoralClassifyError] = None
        assert self._twin is not None
        if not self._failed_over:
            self._failed_over = True
            self._keeper.announce("failed_over", "going on on the CPU while %s is away" % self._keeper.name)
        for _ in range(_TRIES):
            child = self._twin_child()
            check_fit(self.inputs, self.outputs, child)
            deadline_s = self._limits.of_request(child.requests, child.proven)
            try:
                answer = ask(child, deadline_s)
            except (ChildDied, ChildHung) as exc:
                trouble = self._twin.fault(child, accusation(exc, "the CPU twin", deadline_s))
                continue
            why = self._why_twin()
            recovered = self._keeper.losses != self._losses_seen or trouble is not None
            self._losses_seen = self._keeper.losses
            self.device = child.device
            self._answers.latest = Answer(child.device, recovered, why)
            return answer
        raise self._final(trouble)

    def _twin_child(self) -> Child:
        assert self._twin is not None
        child = self._twin.child(lambda: self._leaving)
        if child is None:
            if self._leaving:
                raise SessionClosed("the session was closed while its CPU twin was being opened")
            raise self._final(self._twin.trouble)
        return child

    def _patience(self) -> float:
        """Until when a picture may wait for the device: counted from its loss, not from the picture."""
        return max(self._keeper.away_since, 0.0) + self._limits.patience_s

    def _final(self, trouble: Optional[CoralClassifyError]) -> CoralClassifyError:
        return final(trouble, self._keeper.name, self._policy, on_cpu=self._on_cpu, has_twin=self._can_fail_over())

    # ---- beginning and end

    def _first_child(self) -> Child:
        keeper = self._keeper
        settled = keeper.wait_until_settled(self._grace_s)
        if keeper.child is not None:
            return keeper.child
        trouble = keeper.trouble
        if settled and (keeper.ended or self._policy == "raise"):
            raise trouble or DeviceError("%s does not open" % keeper.name)
        if self._can_fail_over():
            # Without a grace it was waited for, and is told as any other loss.
            self._failed_over = self._grace_s is not None
            return self._twin_child()
        child = keeper.wait_for_child(time.monotonic() + self._limits.patience_s, lambda: False)
        if child is None:
            raise keeper.trouble or trouble or DeviceError("%s does not open" % keeper.name)
        return child

    def _close(self) -> None:
        self._leaving = True
        for keeper in self._keepers:
            keeper.stop(wait=False)
        for keeper in self._keepers:
            keeper.stop()
        self._finalizer.detach()


def _stop_all(keepers: List[Keeper]) -> None:
    for keeper in list(keepers):
        keeper.stop(wait=False)
