"""What a stream needs of whoever classifies: the steps of a picture, and the state of the device."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Protocol

    from ..pictures import Picture
    from ..types import Inferred, Ready, Result, TensorSpec, Wanted
else:
    Protocol = object       # typing has it from Python 3.8 on

__all__ = ["Steps"]


class Steps(Protocol):
    """One model on one device; a :class:`coral_classify.Classifier` is one."""

    @property
    def input(self) -> "TensorSpec": ...

    @property
    def device(self) -> str: ...

    @property
    def closed(self) -> bool: ...

    @property
    def trouble(self) -> Optional[str]:
        """Why the wanted device is away at present; None if it is there."""

    def input_tensors(self, count: int) -> "List[np.ndarray[Any, Any]]":
        """Tensors for :meth:`prepared` to fill."""

    def prepared(self, image: "Picture", wanted: "Wanted", into: "Optional[np.ndarray[Any, Any]]" = None) -> "Ready":
        """The first step, which needs no device: the input tensor."""

    def inferred(self, ready: "Ready", then: "Optional[Ready]" = None) -> "Inferred":
        """The second step, on the device."""

    def result(self, image: "Picture", ready: "Ready", inferred: "Inferred", wanted: "Wanted") -> "Result":
        """The third step: the output, ranked and named."""

    def failed(self, image: "Picture", exc: Exception) -> "Result":
        """The result for a picture that could not be classified."""
