"""How several devices are opened: woken first, and then side by side."""
from __future__ import annotations

import logging
import re
import threading
from typing import Callable, List, Optional, Sequence, Union

from ..classifier import Classifier
from ..edgetpu import list_devices
from ..errors import DeviceError

__all__ = ["opened_at_once", "wake"]

_PLACE = re.compile(r"(usb|pci):\d+$")
_log = logging.getLogger("coral_classify")


def wake(opened: Callable[[str], Classifier], names: Optional[Sequence[str]]) -> None:
    """Open and close each stick that has not taken the driver's download yet, one after another.

    It comes back as another USB device, and the driver counts anew: the names of all hold only when all are awake.

    :param names: of the devices that are wanted; None: all
    """
    tried = set()
    while True:
        asleep = [record for record in list_devices() if record.state == "not initialised"
                  and record.path not in tried and (names is None or record.name in names)]
        if not asleep:
            return
        tried.add(asleep[0].path)
        try:
            opened(asleep[0].name).close()
        except DeviceError as exc:      # the opening that counts tells it
            _log.debug("%s does not wake: %s", asleep[0].name, exc)


def opened_at_once(opened: Callable[[str], Classifier], names: Sequence[str],
                    apart: bool) -> List[Union[Classifier, DeviceError]]:
    """A classifier for each name, or why its device did not open, in the order of *names*.

    :param apart: each device has a process of its own: then they open side by side, in 2 s and not in 2 s each.
        Within one process the driver opens one after another anyway, and a name that leaves the choice open takes what
        is left.
    :raises CoralClassifyError: what is no matter of the device; nothing stays open then
    """
    outcomes: List[Union[Classifier, BaseException, None]] = [None] * len(names)
    given_up = threading.Event()

    def one(number: int, name: str) -> None:
        try:
            outcomes[number] = classifier = opened(name)
            if given_up.is_set():
                classifier.close()
        except BaseException as exc:
            outcomes[number] = exc

    threads = [threading.Thread(target=one, args=(number, name), name="coral-classify-opening", daemon=True)
               for number, name in enumerate(names)]
    named = all(name == "cpu" or _PLACE.match(name) for name in names)
    side_by_side = apart and named and len(set(names)) == len(names)
    try:
        for thread in threads:
            thread.start()
            if not side_by_side:
                thread.join()
        for thread in threads:
            thread.join()
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, DeviceError):
                raise outcome
    except BaseException:
        given_up.set()
        for outcome in outcomes:
            if isinstance(outcome, Classifier):
                outcome.close()
        raise
    return [outcome for outcome in outcomes if isinstance(outcome, (Classifier, DeviceError))]
