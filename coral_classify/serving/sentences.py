"""Errors of the library as answers to requests: a status, and a sentence in which no path of this machine stands."""
from __future__ import annotations

import os
import re
from typing import Any, Dict

from ..errors import CoralClassifyError, DeviceError, ImageError, SessionClosed, UsageError
from ..types import Result
from ..web import Refused

__all__ = ["record_of", "refused", "without_paths"]

_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:,;()'\"]+[/\\])*(?=[^\s/\\:,;()'\"])")


def without_paths(text: str) -> str:
    """*text* with only the last part of each path.

    >>> without_paths("libedgetpu: /usr/lib/libedgetpu.so.1: no such file (/dev/apex_0)")
    'libedgetpu: libedgetpu.so.1: no such file (apex_0)'
    """
    return _FOLDERS.sub("", text)


def record_of(result: Result) -> Dict[str, Any]:
    """What ``--json`` prints of it, without the folders of this machine."""
    record = dict(result.to_dict(), model=os.path.basename(result.model),
                  device_reason=without_paths(result.device_reason))
    if result.error is not None:
        record["error"] = without_paths(result.error)
    return record


def refused(exc: CoralClassifyError) -> Refused:
    """The answer to a request that failed so."""
    if isinstance(exc, UsageError):     # of the request alone
        return Refused(400, str(exc))
    sentence = without_paths(str(exc))
    if isinstance(exc, ImageError):
        return Refused(422, sentence)
    if isinstance(exc, (DeviceError, SessionClosed)):
        return Refused(503, sentence, {"Retry-After": "1"})
    return Refused(500, sentence)
