"""What a caller may choose for a supervised session, and what is made of what goes wrong in it.

Knows children and errors; starts and asks none.
"""

from __future__ import annotations

import logging
import math
from typing import Optional, Sequence

from ..edgetpu import reasons
from ..errors import CoralClassifyError, DeadlineExceeded, DeviceError, EngineError, ModelError, UsageError
from ..events import ON_DEVICE_LOSS
from ..processes import interpreter
from ..types import TensorSpec
from .childprocess import Child, ChildDied, ChildHung

__all__ = ["accusation", "check_fit", "check_policy", "decide", "final", "why_twin"]

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


def accusation(exc: Exception, name: str, deadline_s: float) -> Optional[CoralClassifyError]:
    """What is wrong with a child that failed so; None if it died, which its keeper looks into."""
    if isinstance(exc, ChildDied):
        return None
    if isinstance(exc, ChildHung):
        return DeadlineExceeded(
            "%s did not answer within %.0f ms" % (name, 1000.0 * deadline_s), cause="hang"
        )
    assert isinstance(exc, CoralClassifyError)
    return exc


def check_fit(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], child: Child) -> None:
    """A twin, or a file that was replaced meanwhile, must be the same network to its user.

    :raises ModelError: if its tensors are others
    """
    if child.inputs == inputs and child.outputs == outputs:
        return
    for mine, its, what in ((inputs, child.inputs, "input"), (outputs, child.outputs, "output")):
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


def why_twin(name: str, trouble: Optional[CoralClassifyError], twin: str, *, expected: bool) -> str:
    """Why it is the twin that answers.

    :param name: of the device
    :param trouble: why it is not there; None: it is being opened
    :param twin: name of the twin's file, if it has one
    :param expected: it has been there, or was asked for by name
    """
    if expected:
        return "%s is away: %s" % (name, trouble or "it is being opened")
    if trouble is None:
        return "%s is being opened, and the CPU answers meanwhile" % name
    return "no Edge TPU could be used%s: %s" % ("; %s is the CPU twin" % twin if twin else "", trouble)


def final(
    trouble: Optional[CoralClassifyError], name: str, on_device_loss: str, *, on_cpu: bool, has_twin: bool
) -> CoralClassifyError:
    """The error for a picture that could not be answered."""
    text = str(trouble) if trouble is not None else "%s is away" % name
    if isinstance(trouble, ModelError):
        return trouble
    if on_cpu:
        kind = DeadlineExceeded if isinstance(trouble, DeadlineExceeded) else EngineError
        return kind("%s; the engine was started anew; if this picture does it again, report it" % text)
    if not isinstance(trouble, DeviceError):
        return trouble or DeviceError(text)
    mend = reasons.MENDS.get(trouble.cause)
    hint = (mend + "; " if mend and mend not in text else "") + reasons.TRIED_AGAIN
    if not has_twin and on_device_loss != "raise":
        hint += "; a CPU twin of the model beside it would have answered"
    return type(trouble)("%s; %s" % (text, hint), cause=trouble.cause, evidence=trouble.evidence)


def _are_alike(one: TensorSpec, other: TensorSpec) -> bool:
    """The same to a user: the compiler rounds scales a little."""
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and one.quantization.zero_point == other.quantization.zero_point
        and math.isclose(one.quantization.scale, other.quantization.scale, rel_tol=1e-3)
    )
