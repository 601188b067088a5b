"""The accelerators that an owner shares: those that are listed now, by their paths.

A name such as "usb:1" is a number in the driver's list, and changes when another stick is pulled out; a path does not.
"""
from __future__ import annotations

import threading
import time
from typing import List, Optional

from .. import edgetpu
from ..errors import DeviceError, UsageError
from .turns import Turns

__all__ = ["Place", "Places"]

# A stick that takes the driver's download leaves the bus for a moment: so long it is no other one's place.
_GRACE_S = 3.0
_AVOIDED_S = 30.0


class Place:
    """One accelerator under the name by which it is opened, with its turns."""

    def __init__(self, device: edgetpu.Device) -> None:
        self.device = device
        self.name = "cpu" if device.type == "cpu" else device.name
        self.turns = Turns()
        self.missing_since: Optional[float] = None  # it is not listed, or under another name
        self.gone = False  # and will not be under this one
        self.faulty = False  # it was lost, and has not answered since
        self.avoided_until = float("-inf")  # it did not open

    def avoid(self) -> None:
        """For a while, where there are others."""
        self.avoided_until = time.monotonic() + _AVOIDED_S


class Places:
    """:param device: "auto": every Edge TPU; or the name of one, or "cpu" """

    def __init__(self, device: str, grace_s: float = _GRACE_S) -> None:
        self._device, self._grace_s = device, grace_s
        self._lock = threading.Lock()
        self._places: List[Place] = [Place(edgetpu.Device("cpu", 0, ""))] if device == "cpu" else []
        self._listed: List[edgetpu.Device] = []  # also those that are not shared here: names count them
        self.epoch = 0  # grows when a place comes or goes
        self.look()

    def look(self) -> None:
        """See what was plugged in or pulled out; opens nothing."""
        if self._device == "cpu":
            return
        try:
            everything = edgetpu.driver_devices()
        except DeviceError:
            everything = []
        listed = edgetpu.match(self._device, everything)
        now = time.monotonic()
        with self._lock:
            self._listed = everything
            for place in list(self._places):
                if place.device in listed:
                    place.missing_since = None
                elif place.missing_since is None:
                    place.missing_since = now
                    self.epoch += 1
                elif now - place.missing_since >= self._grace_s:
                    place.gone = True
                    self._places.remove(place)
                    self.epoch += 1
            known = {place.device.path for place in self._places}
            for device in listed:
                if device.path not in known:
                    self._places.append(Place(device))
                    self.epoch += 1

    def all(self) -> List[Place]:
        with self._lock:
            return list(self._places)

    def choice(self, wish: str) -> List[Place]:
        """Where a client with this wish may be housed: what is listed and opens, else what may come back."""
        with self._lock:
            places, listed = list(self._places), self._listed
        try:
            meant = edgetpu.match(wish, listed)
        except UsageError:  # "shared": any of them
            meant = listed
        present = [place for place in places if place.missing_since is None
                   and (place.device in meant or place.name == "cpu")]
        now = time.monotonic()
        good = [place for place in present if place.avoided_until <= now]
        later = [place for place in places if wish in ("shared", "auto", place.device.type, place.name)]
        return good or present or later
