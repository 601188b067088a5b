"""Addresses of brokers, names of cameras, and what is told of an answer: all that needs no broker."""
from __future__ import annotations

import json
import re

import pytest

from coral_classify import UsageError
from coral_classify.mqtt import Reporter, broker, sensor
from coral_classify.mqtt.sensors import identifier, state_of
from coral_classify.types import Prediction, Result


def answer(label="cat", changed=False, error=None, score=0.75):
    return Result("test#1", "/somewhere/m.tflite", "cpu", "asked for it",
                  () if label is None else (Prediction(3, label, score),), 1.0, 2.0, error=error, changed=changed)


@pytest.mark.parametrize("address, host, port, user", [
    ("mqtt://broker/", "broker", 1883, None), ("mqtt://broker", "broker", 1883, None),
    ("mqtt://hall@192.168.1.5:1884/", "192.168.1.5", 1884, "hall"), ("mqtt://[::1]:99", "::1", 99, None),
    ("mqtts://broker/", "broker", 8883, None), ("mqtt://a%40b@broker/", "broker", 1883, "a@b")])
def test_an_address_says_where_and_who(address, host, port, user):
    found = broker(address)
    assert found[:3] == (host, port, user) and (found.tls is not None) == address.startswith("mqtts")


@pytest.mark.parametrize("address", [
    "broker", "http://broker/", "mqtt://", "mqtt:///", "mqtt://broker:0/", "mqtt://broker:99999/", "mqtt://bro ker/",
    "mqtt://broker/topic", "mqtt://broker/?q", "mqtt://[::1/", "mqtt://" + "a" * 70 + ".lan/", "mqtt://b\0/", ""])
def test_what_is_no_address_is_refused_in_one_line(address):
    with pytest.raises(UsageError, match="must be mqtt://") as refused:
        broker(address)
    assert "\n" not in str(refused.value)


def test_a_password_comes_from_a_file_or_the_environment_and_never_from_the_address(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--mqtt-password-file") as refused:
        broker("mqtt://hall:hunter2@broker/")
    assert "hunter2" not in str(refused.value)
    file = tmp_path / "password"
    file.write_text(" hunter2 \n")
    assert broker("mqtt://hall@broker/", str(file)).password == " hunter2 "
    monkeypatch.setenv("CORAL_CLASSIFY_MQTT_PASSWORD", "of the environment")
    assert broker("mqtt://hall@broker/").password == "of the environment"
    assert broker("mqtt://broker/").password is None
    assert "hunter2" not in str(broker("mqtt://hall@broker/", str(file)))
    with pytest.raises(UsageError, match="no user"):
        broker("mqtt://broker/", str(file))


def test_files_that_are_none_are_one_line(tmp_path):
    (tmp_path / "empty").write_text("\n")
    for path, words in ((tmp_path / "none", "cannot be read"), (tmp_path / "empty", "no password"),
                        (tmp_path, "is a folder")):
        with pytest.raises(UsageError, match=words):
            broker("mqtt://hall@broker/", str(path))
    with pytest.raises(UsageError, match="no file of certificates"):
        broker("mqtts://broker/", ca_file=str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="is for mqtts"):
        broker("mqtt://broker/", ca_file=str(tmp_path / "empty"))


@pytest.mark.parametrize("name", ["kitchen", "Living room", "Küche", "台所", "a/b+c#d", "--", "ß", "x" * 64])
def test_every_name_becomes_a_valid_object_id(name):
    made = sensor(name, "m")
    assert re.match(r"homeassistant/sensor/[a-zA-Z0-9_-]+/config\Z", made.config_topic)
    assert re.match(r"coral_classify/[a-z0-9_-]+\Z", made.topic)
    assert made.config()["device"]["name"] == name


def test_names_that_differ_in_letters_that_have_no_place_there_stay_apart():
    assert len({identifier(name) for name in ("台所", "居間", "台所2", "camera")}) == 4


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 65])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UsageError, match="--name must be"):
        sensor(name, "m")


def test_a_state_is_the_answer_in_plain_types_and_short_enough():
    state = json.loads(json.dumps(state_of(answer("x" * 300), 0.25, "m")))
    assert state["label"] == "x" * 255 and state["score"] == 0.75 and state["error"] is None
    assert state["time"] == "1970-01-01T00:00:00.250+00:00"
    assert state_of(answer(None), 0.0, "m")["label"] is None


class Connected:
    """Stands where a connection stands."""

    def __init__(self):
        self.said = []

    def put(self, state):
        self.said.append(json.loads(state))

    def available(self, whether):
        if whether not in self.said[-1:]:
            self.said.append(whether)

    def close(self):
        self.said.append("closed")


@pytest.fixture
def reported():
    times = [0.0]
    made = Reporter(Connected(), "m", clock=lambda: times[0])
    made.times = times
    return made


def told(reporter):
    return [one if isinstance(one, (bool, str)) else one["label"] for one in reporter._connection.said]


def test_a_change_is_told_at_once_and_a_flicker_never(reported):
    for label, changed in (("cat", True), ("cat", False), ("dog", False), ("dog", True), ("cat", False)):
        reported.show(answer(label, changed), 0.0)
    assert told(reported) == ["cat", True, "dog", True]


def test_the_scores_of_an_answer_that_stays_are_told_once_a_minute(reported):
    for second in range(121):
        reported.times[0] = second
        reported.show(answer("cat" if second % 2 == 0 else "dog", changed=second == 0, score=second / 200), 0.0)
    assert [one["score"] for one in reported._connection.said if isinstance(one, dict)] == [0.0, 0.3, 0.6]


def test_pictures_that_fail_are_told_once_and_make_the_camera_unavailable_when_nothing_else_comes(reported):
    reported.show(answer("cat", True), 0.0)
    for second in range(1, 30):
        reported.times[0] = second
        reported.show(answer(None, False, error="the device is gone"), 0.0)
    said = reported._connection.said
    assert [one if isinstance(one, bool) else (one["label"], one["error"]) for one in said] == [
        ("cat", None), True, ("cat", "the device is gone"), False]
    reported.show(answer("cat"), 0.0)
    assert said[-2]["error"] is None and said[-1] is True


def test_a_camera_that_drops_out_is_unavailable_until_its_next_answer(reported):
    reported.show(answer("cat", True), 0.0)
    reported.camera(is_there=False)
    reported.camera(is_there=True)
    reported.show(answer("cat"), 0.0)
    assert told(reported) == ["cat", True, False, True]
