"""What the driver may be told.  Knows no driver: whoever classifies on the CPU loads none."""
from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from .. import arguments

__all__ = ["PERFORMANCE", "Options"]

PERFORMANCE = ("low", "medium", "high", "max")


class Options(NamedTuple):
    """What the driver is told; None leaves its default."""

    performance: Optional[str] = None                   # low, medium, high, max: clock of a USB device
    usb_always_dfu: Optional[bool] = None
    usb_max_bulk_in_queue_length: Optional[int] = None   # 0 to 255

    def check(self) -> "Options":
        """:raises UsageError: for a value that the driver would drop without a word"""
        performance, dfu, length = self
        return Options(
            None if performance is None else arguments.choice("performance", performance, PERFORMANCE),
            None if dfu is None else arguments.flag("usb_always_dfu", dfu),
            None if length is None else arguments.whole("usb_max_bulk_in_queue_length", length, least=0, most=255))

    def pairs(self) -> List[Tuple[str, str]]:
        """Keys and values as libedgetpu spells them."""
        pairs = []
        if self.performance is not None:
            pairs.append(("Performance", self.performance.capitalize()))
        if self.usb_always_dfu is not None:
            pairs.append(("Usb.AlwaysDfu", str(bool(self.usb_always_dfu))))
        if self.usb_max_bulk_in_queue_length is not None:
            pairs.append(("Usb.MaxBulkInQueueLength", str(self.usb_max_bulk_in_queue_length)))
        return pairs
