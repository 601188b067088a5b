"""Why an Edge TPU does not open: a cause, its evidence, and the next step, from what the system shows.

Each function returns the :class:`DeviceError` to raise.  Its ``cause`` is one of: "no-library", "no-libusb",
"old-system", "broken-library" (from loading libedgetpu), "no-device", "no-node", "no-pcie-driver", "no-permission",
"busy", "not-initialised", "not-opened", "runtime-version", "pairing", "refused"; by the driver's own words also "gone",
"unplugged", "low-speed", "io-error", "bad-download", "timed-out", and of a death at work "stalled", "overflow",
"link-error".
"""
from __future__ import annotations

import re
import sys
from typing import Dict, List, Optional, Union

from ..errors import DeviceError, DeviceLost
from . import words as driver_words
from .system import DFU_ID, PciChip, System, UsbStick

__all__ = ["ALLOW_PCIE", "ALLOW_USB", "MENDS", "TRIED_AGAIN", "absent", "death", "no_library", "no_permission",
           "not_opened", "pairing", "refused_model", "where_to_look", "with_words"]

# One line to paste; the rules are Coral's, for the stick before and after the driver's download.
ALLOW_USB = ("""printf '%s\\n' 'SUBSYSTEM=="usb",ATTRS{idVendor}=="1a6e",GROUP="plugdev"' """
             """'SUBSYSTEM=="usb",ATTRS{idVendor}=="18d1",GROUP="plugdev"' """
             "| sudo tee /etc/udev/rules.d/99-edgetpu-accelerator.rules && sudo usermod -aG plugdev $USER "
             "&& sudo udevadm control --reload-rules && sudo udevadm trigger")
ALLOW_PCIE = ("""echo 'SUBSYSTEM=="apex",MODE="0660",GROUP="apex"' | sudo tee /etc/udev/rules.d/65-apex.rules """
              "&& sudo groupadd -f apex && sudo usermod -aG apex $USER && sudo udevadm trigger")
_LISTED = "lsusb | grep -E '1a6e:089a|18d1:9302'"
_ON_PCIE = "lspci -nn | grep 1ac1:089a"
TRIED_AGAIN = "it is tried again in the background"
# The one command, or move of the hand, for what the driver's words tell.
MENDS: Dict[str, str] = {
    "no-permission": ALLOW_USB,
    "busy": "sudo fuser -v /dev/bus/usb/*/* tells which; end it, or use another device",
    "gone": "plug it in again, then: " + _LISTED,
    "unplugged": "plug it in again, then: " + _LISTED,
    "low-speed": "use a USB 3 port and the cable that came with it, then: lsusb -t",
    "io-error": "try another cable, port or power supply, then: sudo dmesg | grep -i usb | tail",
    "bad-download": "replug it at a USB 3 port of the board itself, with the cable that came with it",
    "timed-out": "try another cable, port or power supply, then: sudo dmesg | grep -i usb | tail",
    "stalled": "replug it; if it does so again, try another cable, port or power supply",
    "overflow": "replug it; if it does so again, try another cable, port or power supply",
    "link-error": "sudo dmesg | grep -i apex | tail, then restart the board",
}
MENDS["runtime-version"] = MENDS["pairing"] = "sudo apt update && sudo apt install --only-upgrade libedgetpu1-std"
if sys.maxsize < 1 << 32:
    MENDS["pairing"] += "; if it is the newest already: install a 64-bit system image"
DOES_NOT_WORK = "does not work with"
_USB_NODES = "run it with --device /dev/bus/usb --device-cgroup-rule 'c 189:* rwm' (Docker)"
_WORDS_SHOWN = 200      # characters of the driver's words in a message
# How the process that asks for a device tells that the driver gave none; whoever reads the driver's words knows why.
_NOT_OPENED = re.compile(r"(?P<who>(?:usb|pci):\d+ \((?P<path>[^)]*)\) did not open): .*?(?=; (?:usb|pci):\d+[ :]|$)")


def no_library(text: str) -> DeviceError:
    """libedgetpu could not be loaded.

    :param text: the loader's own words
    """
    if "libusb" in text:
        cause, advice = "no-libusb", "libusb is missing; on Debian: sudo apt install libusb-1.0-0"
    elif "GLIBC" in text:       # GLIBC_2.28, GLIBCXX_3.4.22
        cause, advice = "old-system", "this libedgetpu was built for a newer system; install the one made for yours"
    elif "No such file" in text or "not found" in text or "cannot open shared object" in text:
        cause, advice = "no-library", ("the Edge TPU driver is not installed; install libedgetpu1-std from Coral's "
                                       "Debian packages, or set CORAL_CLASSIFY_LIBEDGETPU to its file")
    else:
        cause, advice = "broken-library", "libedgetpu cannot be loaded; install libedgetpu1-std again"
    return DeviceError("%s (%s)" % (advice, text), cause=cause, evidence=text)


def absent(device: str, listed: List[str], system: System) -> DeviceError:
    """The driver lists no device that *device* may mean.

    :param listed: names of those that it lists
    """
    which = "" if device == "auto" else " " + device
    names = ", ".join(listed) or "none"
    start = "no Edge TPU%s is attached (the driver lists: %s)" % (which, names)
    if not listed:
        for chip in system.pci_chips():
            if chip.node is None and not device.startswith("usb"):
                loaded = "is" if system.apex_driver() else "is not"
                return DeviceError(
                    "%s; the chip is on the PCIe bus, and /dev/apex_0 is missing: the kernel driver (gasket and apex) "
                    "%s loaded; sudo apt install gasket-dkms, then restart (dmesg | grep apex says more)"
                    % (start, loaded), cause="no-pcie-driver", evidence=chip.path)
        for stick in system.usb_sticks():
            if not system.exists(stick.node) and not device.startswith("pci"):
                inside = system.container()
                advice = "the container has not got it: " + _USB_NODES if inside else "is udev running?"
                return DeviceError("%s; the USB bus shows it (%s), and its node %s is missing; %s"
                                   % (start, stick.path, stick.node, advice),
                                   cause="no-node", evidence=inside or stick.path)
        inside = system.container()
        if inside:
            pcie = "run it with --device /dev/apex_0"
            how = pcie if device.startswith("pci") else _USB_NODES if device.startswith("usb") else \
                "%s, or with --device /dev/apex_0 for PCIe" % _USB_NODES
            return DeviceError("%s; this is a container (%s): if the host has one, %s" % (start, inside, how),
                               cause="no-device", evidence=inside)
    return DeviceError("%s; check cable and power, then: %s" % (start, where_to_look(device)), cause="no-device",
                       evidence=names)


def where_to_look(device: str) -> str:
    """The command that shows on the bus what *device* may mean."""
    if device.startswith("pci"):
        return _ON_PCIE
    return _LISTED if device.startswith("usb") else "%s; %s" % (_LISTED, _ON_PCIE)


def no_permission(name: str, node: str, system: System) -> DeviceError:
    """This user may not use the device's node."""
    owner = system.group(node)
    mend = ALLOW_PCIE if "/apex" in node else ALLOW_USB
    return DeviceError("%s: this user may not open %s (%s); allow it, log in again and replug: %s"
                       % (name, node, owner, mend), cause="no-permission", evidence="%s: %s" % (node, owner))


def not_opened(name: str, path: str, found: Union[UsbStick, PciChip, None], system: System) -> DeviceError:
    """The driver listed the device, tried to open it, and gave nothing back."""
    which = "%s (%s) did not open" % (name, path)
    if found is not None and found.node:
        holders = system.holders(found.node)
        if holders:
            who = ", ".join("%s (process %d)" % (holder.name, holder.pid) for holder in holders)
            return DeviceError("%s: %s is in use by another process: %s; end it, or use another device"
                               % (name, found.node, who), cause="busy", evidence=who)
        if not system.usable(found.node):
            return no_permission(name, found.node, system)
    if isinstance(found, UsbStick) and not found.initialised:
        return DeviceError("%s: the stick is in DFU state (%s, before the driver's download); replug it, "
                           "and let this user open it under both ids: %s" % (which, DFU_ID, ALLOW_USB),
                           cause="not-initialised", evidence=found.path)
    return DeviceError("%s: the driver gives no reason; coral-classify doctor --device %s makes it tell"
                       % (which, name), cause="not-opened", evidence=path)


def with_words(error: DeviceError, words: List[str]) -> DeviceError:
    """The same error with the reasons that the driver gave: one sentence and one command for each device.

    :param words: lines that the driver wrote while it opened, oldest first
    """
    told = driver_words.refusals(words)
    causes: List[str] = []

    def explained(found: "re.Match[str]") -> str:
        meaning = told.get(found.group("path"))
        if meaning is None or meaning.cause == "busy" and "(process " in found.group():
            return found.group()    # which process it is says more
        causes.append(meaning.cause)
        said = meaning.words[:_WORDS_SHOWN]
        if not meaning.cause:
            return "%s: the driver says: %s" % (found.group("who"), said)
        return "%s: %s (the driver says: %s); %s" % (found.group("who"), meaning.sentence, said, MENDS[meaning.cause])

    message = _NOT_OPENED.sub(explained, str(error))
    if not causes:
        return error
    cause = (causes[0] or "not-opened") if error.cause in ("not-opened", "not-initialised") else error.cause
    lines = [error.evidence] + ["%s: %s" % (path, meaning.words) for path, meaning in told.items()]
    return type(error)(message, cause=cause, evidence="\n".join(line for line in lines if line))


def death(what: str, words: List[str]) -> DeviceLost:
    """A process that held a device has died.

    :param what: how: "the process that holds usb:0 aborted (SIGABRT) during work"
    :param words: its last lines, oldest first
    """
    meaning = driver_words.death(words)
    quoted = driver_words.worth_quoting(words)
    said = ": %s" % quoted[:300] if quoted else ""
    if meaning is None or not meaning.cause:
        return DeviceLost(what + said, cause="crashed", evidence="\n".join(words[-12:]))
    return DeviceLost("%s: %s%s" % (meaning.sentence, what, said), cause=meaning.cause, evidence=meaning.words)


def refused_model(device: str, library: str, runtime: str, text: str) -> DeviceError:
    """The device opened, and the runtime or the driver refused the model on it.

    :param library: version text of libedgetpu
    :param runtime: name and version of the TFLite runtime
    :param text: the runtime's own words
    """
    cause, advice = "refused", "coral-classify doctor --model FILE looks closer"
    if "requires runtime version" in text:
        cause = "runtime-version"
        advice = ("the model was compiled for a newer driver than this one (%s); take a file compiled "
                  "with --min_runtime_version, or update it: %s" % (library, MENDS[cause]))
    elif "Unsupported data type in custom op handler" in text:
        return pairing(library, runtime, text)
    return DeviceError("%s: the driver refused the model: %s; %s" % (device, text, advice), cause=cause, evidence=text)


def pairing(library: str, runtime: str, what: Optional[str]) -> DeviceError:
    """This libedgetpu cannot work with this TFLite runtime.

    :param what: what a trial showed
    """
    return DeviceError(
        "libedgetpu (%s) %s %s%s; %s"
        % (library, DOES_NOT_WORK, runtime, ": " + what if what else "", MENDS["pairing"]),
        cause="pairing", evidence="libedgetpu %s, %s%s" % (library, runtime, ", " + what if what else ""))
