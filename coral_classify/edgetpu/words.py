"""What libedgetpu's own lines mean: cause and sentence for the one that tells.  Knows no device and no system.

At verbosity 10 an opening writes some sixty lines; ONE tells why a device is refused, and not always the last:
``Failed to open device [Apex (USB)] at [/sys/bus/usb/devices/2-1]: Unavailable: USB error -4 [OpenDevice]``.  A death
at work ends with fatal lines, ``F file:line] …``.  The words were heard from a libedgetpu of runtime 14; the numbers
in them are libusb's (``enum libusb_error``, ``enum libusb_transfer_status``), and so are the same in another version.
"""
from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional

__all__ = ["OPENING", "Meaning", "being_opened", "death", "refusals", "worth_quoting"]

# Ours, in the manner of the driver's log: said before the driver is asked.
OPENING = "I coral_classify:0] opening %s\n"


class Meaning(NamedTuple):
    """What one line of the driver says."""

    cause: str      # as in DeviceError.cause; "" where the words are not known
    sentence: str   # what is so, to follow the device's name and a colon
    words: str      # the driver's own


_REFUSED = re.compile(r"Failed to open device \[[^\]]*\] at \[([^\]]*)\]: (.*)")
_FATAL = re.compile(r"F \S*:\d+\] ")
# Lines of the driver's log that are no errors, and those of the runtime: never the reason.
_CHATTER = re.compile(r"[IW] \S*:\d+\] |INFO: |WARNING: |.*/sys/class/apex")

_OPENING = (
    (r"USB error -3\b", "no-permission", "this user may not open it"),
    (r"USB error -6\b", "busy", "another process has claimed it"),
    (r"USB error -4 \[OpenDevice\]", "gone", "it is not there any more: it was pulled out before it could be opened"),
    (r"USB error -4\b", "unplugged", "it was pulled out while it was being opened"),
    (r"Low speed", "low-speed", "its USB link came up at low speed"),
    (r"ValidateFirmware", "bad-download", "the firmware that it takes down arrived corrupted"),
    (r"USB error -1\b", "io-error", "it answers every transfer with an I/O error"),
    (r"USB error -7\b", "timed-out", "it did not answer a transfer in time"),
)
_AT_WORK = (
    (r"USB transfer error 5\b|USB error -4\b", "unplugged", "the device was pulled out"),
    (r"USB transfer error 4\b|USB error -9\b", "stalled", "the device stalled a transfer"),
    (r"USB transfer error 6\b|USB error -8\b", "overflow", "the device sent more than it was asked for"),
    (r"USB transfer error 2\b|USB error -7\b", "timed-out", "the device did not answer a transfer in time"),
    (r"USB transfer error 1\b|USB error -1\b", "io-error", "a transfer failed with an I/O error"),
    (r"HIB [Ee]rror", "link-error", "the link to the chip failed"),
)


def refusals(lines: List[str]) -> Dict[str, Meaning]:
    """Why devices did not open, by the path of each.

    >>> found = refusals(["I a.cc:1] chatter", "I b.cc:2] Failed to open device [Apex (USB)] at [/sys/x]: Permission "
    ...                   "denied: USB error -3 [OpenDevice]", "I a.cc:3] chatter"])
    >>> found["/sys/x"].cause
    'no-permission'
    """
    found = (_REFUSED.search(line) for line in lines)
    return {match.group(1): _meaning(match.group(2), _OPENING) for match in found if match}


def being_opened(lines: List[str]) -> Optional[str]:
    """Name of the device that was being opened last; None where none was."""
    found = [line.rpartition(" ")[2] for line in lines if line.startswith(OPENING.partition("%")[0])]
    return next(reversed(found), None)


def death(lines: List[str]) -> Optional[Meaning]:
    """What killed the process at work: the first fatal line whose words are known, else the first; None without one."""
    fatal = [line for line in lines if _FATAL.match(line)]
    known = [meaning for meaning in (_meaning(line, _AT_WORK) for line in fatal) if meaning.cause]
    unknown = [Meaning("", "", line) for line in fatal]
    return next(iter(known + unknown), None)


def worth_quoting(lines: List[str]) -> Optional[str]:
    """The line that says most of why a process has ended; None if all are chatter."""
    fatal = death(lines)
    if fatal:
        return fatal.words
    refused = [line for line in lines if _REFUSED.search(line)]
    rest = [line for line in lines if not _CHATTER.match(line)]
    return next(reversed(refused or rest), None)


def _meaning(words: str, table: "tuple[tuple[str, str, str], ...]") -> Meaning:
    for pattern, cause, sentence in table:
        if re.search(pattern, words):
            return Meaning(cause, sentence, words)
    return Meaning("", "", words)
