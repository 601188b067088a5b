"""Whether this libedgetpu works with this TFLite runtime: known, remembered, or found out in a process that may die.

Libraries from runtime 14 on are fitted to every runtime by :mod:`coral_classify.edgetpu.abi`, which is proven on
64-bit x86 Linux.  Everywhere else, and for older libraries (their ``TfLiteTensor`` has 104 bytes against 112), one real
inference in a short-lived child process gives the verdict; a crash must come twice to be one.  It is kept in the
cache folder, by the identity of the library's file and the version of the runtime.
"""
from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from typing import Any, Dict, Optional

from ..edgetpu import System, reasons
from ..locations import home
from ..processes import another_python

__all__ = ["check", "proven"]

_OLDEST_FITTED = 14     # RuntimeVersion(14): from release 15 of 2021 on, built for TF 2.5 or newer
_TRIAL_S = 60.0         # the driver itself may take 25 s to open
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
_MARK = "CORAL_CLASSIFY_TRIAL"
_TRIAL = """\
from coral_classify.engine import open_described
import numpy
with open_described(json.loads(sys.argv[1])) as session:
    session.run_all([numpy.zeros(spec.shape, spec.dtype) for spec in session.inputs])
print("answered")
"""


def proven(version: str) -> bool:
    """Whether the padding is known to fit a library of this version text, on this machine.

    :param version: as the library gives it: "BuildLabel(…), RuntimeVersion(14)"
    """
    found = re.search(r"RuntimeVersion\((\d+)\)", version)
    return (found is not None and int(found.group(1)) >= _OLDEST_FITTED and sys.maxsize > 1 << 32
            and sys.platform.startswith("linux") and platform.machine() == "x86_64")


def check(library: str, version: str, runtime: str, session: Dict[str, Any]) -> None:
    """Return if the pairing works or nothing speaks against it.

    :param library: the library's name or path
    :param version: its version text
    :param runtime: name and version of the TFLite runtime: "ai-edge-litert 2.1.0"
    :param session: what :func:`coral_classify.engine.describe` gives, to be tried
    :raises DeviceError: (cause "pairing") if it is known to crash, or crashed now
    """
    if proven(version) or os.environ.get(_MARK) or os.name != "posix":
        return
    key = "%s | %s | %s" % (_identity(library), version, runtime)
    verdicts = _verdicts()
    if key not in verdicts:
        verdict = _try(session)
        if verdict not in (None, "works"):
            verdict = _try(session)     # by accident once (a loose cable will do) must not ban the device for good
        if verdict is None:
            return      # busy, unplugged, slow: says nothing of the pairing, and is reported by the real opening
        verdicts[key] = verdict
        _remember(verdicts)
    if verdicts[key] != "works":
        raise reasons.pairing(version, runtime, "%s (remembered in %s; delete it to try again)"
                              % (verdicts[key], _file()))


def _identity(library: str) -> str:
    path = System().locate(library) or library
    try:
        status = os.stat(path)
    except OSError:
        return path
    return "%s %d %d" % (os.path.realpath(path), status.st_size, status.st_mtime_ns)


def _try(session: Dict[str, Any]) -> Optional[str]:
    """ "works", how it died, or None where that is no verdict."""
    command, environment = another_python(_TRIAL, json.dumps(session))
    environment[_MARK] = "1"
    try:
        trial = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=environment, timeout=_TRIAL_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if trial.returncode == 0:
        return "works"
    if trial.returncode < 0 and -trial.returncode in _CRASHES:
        return "a trial inference died of %s" % signal.Signals(-trial.returncode).name
    return "it refused a trial inference" if reasons.DOES_NOT_WORK.encode() in trial.stdout else None


def _file() -> str:
    return str(home() / "pairings.json")


def _verdicts() -> Dict[str, str]:
    try:
        with open(_file(), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):     # damaged, or not ours
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _remember(verdicts: Dict[str, str]) -> None:
    try:
        os.makedirs(os.path.dirname(_file()), exist_ok=True)
        handle, part = tempfile.mkstemp(dir=os.path.dirname(_file()))
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(verdicts, file, indent=1)
        os.replace(part, _file())
    except OSError:
        pass        # a read-only home: the next opening tries again
