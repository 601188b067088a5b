"""Where a broker is, and who comes there: from an address, and from places where a password is not seen."""
from __future__ import annotations

import os
import ssl
from typing import NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from .. import arguments
from ..errors import UsageError
from ..reading import read_file, why

__all__ = ["Broker", "broker"]

_PASSWORD = "CORAL_CLASSIFY_MQTT_PASSWORD"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_WANTED = "mqtt://[user@]host[:port]/, or mqtts:// for TLS"


class Broker(NamedTuple):
    """A broker, and how to get in."""

    host: str
    port: int
    user: Optional[str] = None
    password: Optional[str] = None
    tls: Optional[ssl.SSLContext] = None    # None: in the clear

    def __str__(self) -> str:
        """Without the password, for messages."""
        return "%s://%s:%d" % ("mqtt" if self.tls is None else "mqtts",
                               "[%s]" % self.host if ":" in self.host else self.host, self.port)


def broker(address: str, password_file: Optional[str] = None, ca_file: Optional[str] = None) -> Broker:
    """A broker from ``mqtt://[user@]host[:port]/``, or ``mqtts://`` for TLS.

    >>> broker("mqtt://hall@broker.lan/")[:3]
    ('broker.lan', 1883, 'hall')

    :param password_file: whose content is the password; without it the environment's ``CORAL_CLASSIFY_MQTT_PASSWORD``.
        Never part of the address: everybody on a machine may read a command's arguments
    :param ca_file: certificates (PEM) that vouch for the broker's; None: the system's
    :raises UsageError: if it cannot be meant, or a file cannot be read
    """
    arguments.text("the broker", address, _WANTED)
    try:
        parts = urlsplit(address)
        port = parts.port
        has_password = parts.password is not None
    except ValueError:      # no number, or brackets that do not close
        raise UsageError("the broker must be %s" % _WANTED) from None
    if has_password:        # before anything that would show it
        raise UsageError("a password on the command line is seen by everybody on this machine; put it into a file "
                         "(--mqtt-password-file FILE) or into %s" % _PASSWORD)
    if parts.scheme not in _PORTS or not _is_host(parts.hostname) or parts.path not in ("", "/") or parts.query \
            or parts.fragment or port == 0:
        raise arguments.wrong("the broker", _WANTED, address)
    assert parts.hostname is not None
    user = unquote(parts.username) if parts.username else None
    secret = _secret(password_file)
    if user is None and password_file is not None:
        raise UsageError("--mqtt-password-file: there is no user to whom the password belongs; write mqtt://USER@%s/"
                         % parts.hostname)
    if ca_file is not None and parts.scheme != "mqtts":
        raise UsageError("--mqtt-ca is for mqtts://, got %s" % address)
    tls = _context(ca_file) if parts.scheme == "mqtts" else None
    return Broker(parts.hostname, port or _PORTS[parts.scheme], user, secret if user is not None else None, tls)


def _is_host(host: Optional[str]) -> bool:
    """What the resolver takes without a complaint of its own."""
    try:
        return bool(host) and bool(str(host).encode("idna")) and str(host).isprintable() and " " not in str(host)
    except UnicodeError:
        return False


def _secret(file: Optional[str]) -> Optional[str]:
    if file is None:
        return os.environ.get(_PASSWORD) or None
    try:
        text = read_file(file, 4096).decode("utf-8").rstrip("\r\n")
    except OSError as exc:
        raise UsageError("%s: %s" % (file, why(exc))) from exc
    except UnicodeDecodeError as exc:
        raise UsageError("%s: a password is UTF-8 text" % file) from exc
    if not text:
        raise UsageError("%s: has no password in it" % file)
    return text


def _context(ca_file: Optional[str]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:      # of which SSLError is one
        raise UsageError("%s: is no file of certificates (PEM): %s" % (ca_file, exc.strerror or exc)) from exc
