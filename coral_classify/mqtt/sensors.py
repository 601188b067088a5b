"""A camera as Home Assistant sees it: its topics, its description, its state.  Pure functions of names and results.

The format: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery and …/integrations/sensor.mqtt/
"""
from __future__ import annotations

import datetime
import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional

from .. import __version__, arguments

if TYPE_CHECKING:
    from ..types import Result

__all__ = ["BIRTH", "OFFLINE", "ONLINE", "Sensor", "identifier", "sensor", "state_of"]

ONLINE, OFFLINE = "online", "offline"
BIRTH = "homeassistant/status"      # where Home Assistant says ONLINE when it has started
_LONGEST_NAME = 64
_LONGEST_STATE = 255                # characters that Home Assistant takes


class Sensor(NamedTuple):
    """One camera."""

    name: str       # as people read it
    node: str       # as it stands in topics and ids
    model: str

    @property
    def topic(self) -> str:
        """State and attributes, as one JSON object: so they never contradict each other."""
        return "coral_classify/" + self.node

    @property
    def availability(self) -> str:
        return self.topic + "/availability"

    @property
    def config_topic(self) -> str:
        return "homeassistant/sensor/coral_classify_%s/config" % self.node

    def config(self) -> Dict[str, Any]:
        """What Home Assistant makes an entity of."""
        unique = "coral_classify_" + self.node
        return {
            "name": None,       # the entity is what the device is there for: it takes the device's name
            "unique_id": unique,
            "state_topic": self.topic,
            "value_template": "{{ value_json.label }}",     # null becomes "None", which is "unknown" there
            "json_attributes_topic": self.topic,
            "availability_topic": self.availability,
            "payload_available": ONLINE,
            "payload_not_available": OFFLINE,
            "icon": "mdi:cctv",
            "device": {"identifiers": [unique], "name": self.name, "manufacturer": "coral_classify",
                       "model": self.model, "sw_version": __version__},
            "origin": {"name": "coral_classify", "sw_version": __version__},
        }


def sensor(name: str, model: str) -> Sensor:
    """The sensor of a camera.

    :param name: one a broker
    :param model: as people read it
    :raises UsageError: if the name cannot be one
    """
    wanted = "a name of at most %d printable characters" % _LONGEST_NAME
    arguments.text("--name", name, wanted)
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise arguments.wrong("--name", wanted, name)
    return Sensor(name, identifier(name), model)


def identifier(name: str) -> str:
    """*name* in the characters that a topic's level and an object id may have: ``[a-z0-9_-]``.

    Where a letter has no place there, a part of a hash keeps names apart.

    >>> identifier("Living room"), identifier("Küche"), identifier("台所")
    ('living_room', 'kuche', 'camera_1bcb3703')
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    found = re.sub(r"[^a-z0-9-]+", "_", plain.lower()).strip("_-")
    if plain.isascii() if hasattr(plain, "isascii") else all(ord(letter) < 128 for letter in plain):
        if found:
            return found
    return "%s_%s" % (found or "camera", hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8])


def state_of(result: "Result", at: float, model: str) -> Dict[str, Any]:
    """The answer for a picture, as the camera's topic carries it.

    :param at: when the picture was taken, in seconds since 1970
    """
    best = result.predictions[0] if result.predictions else None
    error: Optional[str] = result.error
    return {
        "label": best.label[:_LONGEST_STATE] if best is not None else None,
        "score": round(best.score, 4) if best is not None else None,
        "sure": result.sure,
        "time": datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat(timespec="milliseconds"),
        "predictions": [{"label": each.label, "score": round(each.score, 4)} for each in result.predictions],
        "model": model,
        "inference_device": result.device,
        "error": error,
    }
