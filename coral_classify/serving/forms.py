"""Several pictures in one body: ``multipart/form-data`` (RFC 7578), as browsers and ``curl -F`` send them.

Knows bytes; decodes no picture.
"""
from __future__ import annotations

import email.message
import email.parser
import email.policy
import io
import re
from typing import List, Optional

from ..errors import UsageError

__all__ = ["MOST", "Upload", "boundary", "uploads"]

MOST = 64               # pictures in one body
_HEADERS = 8192         # bytes of one part's
_NAME = 120             # characters of a picture's


class Upload(io.BytesIO):
    """A picture under the name that its file had."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def boundary(content_type: str) -> Optional[bytes]:
    """What stands between the parts; None if the body is no form.

    :raises UsageError: if it is one, and does not say

    >>> boundary('multipart/form-data; boundary="a b"')
    b'a b'
    """
    if not content_type.lower().lstrip().startswith("multipart/"):
        return None
    message = email.message.Message()
    message["content-type"] = content_type
    found = message.get_boundary()
    if message.get_content_type() != "multipart/form-data" or not found or len(found) > 200:
        raise UsageError("several pictures come as multipart/form-data with a boundary")
    try:
        return found.encode("ascii")
    except UnicodeEncodeError:
        raise UsageError("the boundary between the pictures is of ASCII characters") from None


def uploads(body: bytes, between: bytes) -> List[Upload]:
    """The pictures of a form, in their order.

    :param between: the boundary
    :raises UsageError: if it is no such form, or has other fields
    """
    parts = (b"\r\n" + body).split(b"\r\n--" + between)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise UsageError("the form is cut short, or has another boundary than its Content-Type says")
    if len(parts) - 2 > MOST:
        raise UsageError("a form has at most %d pictures here, got %d" % (MOST, len(parts) - 2))
    if len(parts) == 2:
        raise UsageError("the form has no picture in it")
    return [_upload(part, number) for number, part in enumerate(parts[1:-1], 1)]


def _upload(part: bytes, number: int) -> Upload:
    match = re.match(rb"[ \t]*\r\n", part)
    end = part.find(b"\r\n\r\n", 0, _HEADERS)
    if match is None or end < 0:
        raise UsageError("part %d of the form has no headers" % number)
    # A file's name comes as UTF-8 (RFC 7578, 5.1.1), which the parser of mail keeps as it is.
    text = part[match.end():end + 2].decode("utf-8", "replace")
    headers = email.parser.HeaderParser(policy=email.policy.compat32).parsestr(text)
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "7bit", "8bit"):
        raise UsageError("part %d of the form: a picture comes as it is, without a Content-Transfer-Encoding" % number)
    name = headers.get_filename()
    if name is None:
        raise UsageError("part %d of the form is no file; parameters stand in the address, after the ?" % number)
    return Upload(part[end + 4:], _plain(name) or "picture %d" % number)


def _plain(name: str) -> str:
    """The last part of a path of whichever system, without what could steer a terminal."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(c if c.isprintable() else "_" for c in last)[:_NAME]
