"""A camera and a real broker: what Home Assistant would see, and what happens when either of them dies."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import defaultdict

import pytest
from conftest import REPOSITORY, heavy, heavy_program
from test_sensors import answer
from worker_tools import wait_until

from coral_classify.mqtt import Reporter, broker, sensor

CONFIG, TOPIC = "homeassistant/sensor/coral_classify_kitchen/config", "coral_classify/kitchen"
AVAILABILITY = TOPIC + "/availability"


class Mosquitto:
    """A broker of our own, on a port that stays the same when it is started again."""

    def __init__(self, folder, *settings):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._program = heavy_program("mosquitto")
        self._config = folder / "mosquitto.conf"
        lines = ["listener %d 127.0.0.1" % self.port] + (list(settings) or ["allow_anonymous true"])
        self._config.write_text("\n".join(lines + (["user root"] if os.getuid() == 0 else [])) + "\n")
        self._process = None

    @property
    def url(self):
        return "mqtt://127.0.0.1:%d/" % self.port

    def start(self):
        self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        assert wait_until(self._listens)

    def _listens(self):
        assert self._process.poll() is None, "mosquitto does not start"
        with socket.socket() as end:
            return end.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)


class Observer:
    """What a home's software hears."""

    def __init__(self, port, user=None, password=None):
        paho = heavy("paho.mqtt.client")
        versions = getattr(paho, "CallbackAPIVersion", None)
        self._client = paho.Client() if versions is None else paho.Client(versions.VERSION2)
        self.heard = defaultdict(list)      # topic -> (text, retained)
        self._subscribed = False
        self._client.on_message = lambda client, data, message: self.heard[message.topic].append(
            (message.payload.decode(), message.retain))
        self._client.on_connect = lambda client, *_: client.subscribe("#")
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        if user:
            self._client.username_pw_set(user, password)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert wait_until(lambda: self._subscribed)

    def last(self, topic):
        return self.heard[topic][-1][0] if self.heard[topic] else None

    def labels(self):
        return [json.loads(text)["label"] for text, _ in self.heard[TOPIC]]

    def say(self, topic, text):
        self._client.publish(topic, text)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def mosquitto(tmp_path):
    made = Mosquitto(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def observer(mosquitto):
    made = Observer(mosquitto.port)
    yield made
    made.close()


@pytest.fixture
def reporter_to():
    """Reporters of ``kitchen``, with the lines that they said."""
    heavy("paho.mqtt.client")
    made = []

    def new(where, name="kitchen"):
        lines = []
        made.append(Reporter.to(where, sensor(name, "m.tflite"), lines.append))
        made[-1].lines = lines
        return made[-1]
    yield new
    for each in made:
        each.close()


@pytest.fixture
def reporter(mosquitto, reporter_to):
    return reporter_to(broker(mosquitto.url))


def test_home_assistant_finds_the_camera_by_itself(observer, reporter):
    reporter.show(answer("cat", changed=True), 0.0)
    assert wait_until(lambda: observer.last(AVAILABILITY) == "online" and observer.last(TOPIC))
    config = json.loads(observer.last(CONFIG))
    # What the integration asks for: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
    assert config["unique_id"] == "coral_classify_kitchen" and config["origin"]["name"] == "coral_classify"
    assert config["device"]["identifiers"] == ["coral_classify_kitchen"] and config["device"]["name"] == "kitchen"
    assert config["state_topic"] == config["json_attributes_topic"] == TOPIC
    assert config["availability_topic"] == AVAILABILITY
    state = json.loads(observer.last(config["state_topic"]))
    assert config["value_template"] == "{{ value_json.label }}" and state["label"] == "cat"
    assert state["score"] == 0.75 and state["predictions"] == [{"label": "cat", "score": 0.75}]


def test_what_is_told_stays_for_those_who_come_later(mosquitto, observer, reporter):
    for label in ("cat", "dog"):
        reporter.show(answer(label, changed=True), 0.0)
    assert wait_until(lambda: observer.labels()[-1:] == ["dog"] and observer.last(AVAILABILITY) == "online")
    late = Observer(mosquitto.port)
    assert wait_until(lambda: len(late.heard) == 3)
    assert all(retained for heard in late.heard.values() for _, retained in heard)
    assert late.labels() == ["dog"] and late.last(AVAILABILITY) == "online"
    late.close()


def test_it_is_told_again_when_home_assistant_starts(observer, reporter):
    reporter.show(answer("cat", changed=True), 0.0)
    assert wait_until(lambda: observer.labels() == ["cat"])
    before = len(observer.heard[CONFIG])
    observer.say("homeassistant/status", "online")
    assert wait_until(lambda: len(observer.heard[CONFIG]) > before and observer.labels() == ["cat", "cat"])


def test_its_end_is_said(observer, reporter):
    reporter.show(answer("cat", changed=True), 0.0)
    assert wait_until(lambda: observer.last(AVAILABILITY) == "online")
    reporter.close()
    assert wait_until(lambda: observer.last(AVAILABILITY) == "offline")


def test_a_broker_that_is_killed_and_comes_back_knows_all_of_it_again(mosquitto, reporter):
    reporter.show(answer("cat", changed=True), 0.0)
    assert wait_until(lambda: reporter._connection._connected)
    mosquitto.kill()
    assert wait_until(lambda: len(reporter.lines) >= 1)
    reporter.show(answer("dog", changed=True), 0.0)
    mosquitto.start()
    assert wait_until(lambda: reporter.lines[-1].endswith("is back"), 90)
    observer = Observer(mosquitto.port)
    assert wait_until(lambda: observer.labels() == ["dog"] and observer.last(AVAILABILITY) == "online"
                      and observer.last(CONFIG))
    observer.close()
    assert [line.partition(" ")[2].split(";")[0] for line in reporter.lines] == ["ended the connection", "is back"]


def test_a_broker_that_is_not_there_yet_costs_a_line_and_no_time(tmp_path, reporter_to):
    mosquitto = Mosquitto(tmp_path)
    reporter = reporter_to(broker(mosquitto.url))
    for number in range(10000):
        reporter.show(answer(str(number), changed=True), 0.0)
    assert wait_until(lambda: reporter.lines)
    assert "is not reached" in reporter.lines[0] and "refused" in reporter.lines[0]
    mosquitto.start()
    observer = Observer(mosquitto.port)
    assert wait_until(lambda: observer.labels() == ["9999"], 90)    # the newest, and not what is over
    assert len(reporter.lines) == 2
    observer.close()
    mosquitto.kill()


def test_a_broker_that_hangs_is_not_waited_for_and_nothing_piles_up(mosquitto, observer, reporter):
    reporter.show(answer("cat", changed=True), 0.0)
    assert wait_until(lambda: observer.labels() == ["cat"])
    mosquitto.freeze()
    client = reporter._connection._client
    for number in range(20000):     # more than any buffer of the system's takes
        reporter.show(answer("x" * 200 + str(number), changed=True), 0.0)
        assert len(client._out_packet) <= 2


def test_a_will_that_comes_late_is_set_right(observer, reporter):
    reporter.show(answer("cat", changed=True), 0.0)
    assert wait_until(lambda: observer.last(AVAILABILITY) == "online")
    observer.say(AVAILABILITY, "offline")       # as the broker does for a connection that was cut off unseen
    assert wait_until(lambda: [text for text, _ in observer.heard[AVAILABILITY]][-2:] == ["offline", "online"])


@pytest.fixture
def guarded(tmp_path):
    """A broker that asks for a password."""
    passwords = tmp_path / "passwords"
    subprocess.check_call([heavy_program("mosquitto_passwd"), "-b", "-c", str(passwords), "hall", "the right one"])
    made = Mosquitto(tmp_path, "allow_anonymous false", "password_file %s" % passwords)
    made.start()
    yield made
    made.kill()


def test_a_wrong_password_is_one_line_and_the_right_one_opens(guarded, reporter_to, monkeypatch):
    from coral_classify.mqtt.connection import Connection

    address = guarded.url.replace("//", "//hall@")
    monkeypatch.setenv("CORAL_CLASSIFY_MQTT_PASSWORD", "a wrong one")
    attempts = []
    answered = Connection._on_connect
    monkeypatch.setattr(Connection, "_on_connect", lambda *given: (attempts.append(1), answered(*given)))
    wrong = reporter_to(broker(address))
    assert wait_until(lambda: len(attempts) >= 3)
    assert "refuses the connection (" in wrong.lines[0] and "wrong one" not in wrong.lines[0]
    assert len(wrong.lines) == 1
    monkeypatch.setenv("CORAL_CLASSIFY_MQTT_PASSWORD", "the right one")
    right = reporter_to(broker(address))
    right.show(answer("cat", changed=True), 0.0)
    observer = Observer(guarded.port, "hall", "the right one")
    assert wait_until(lambda: observer.labels() == ["cat"])
    assert right.lines == []
    observer.close()


def test_tls_with_a_certificate_of_one_s_own(tmp_path, reporter_to):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.check_call(
        [heavy_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=home",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        stderr=subprocess.DEVNULL)
    mosquitto = Mosquitto(tmp_path, "allow_anonymous true", "certfile %s" % certificate, "keyfile %s" % key)
    mosquitto.start()
    address = mosquitto.url.replace("mqtt:", "mqtts:")
    try:
        stranger = reporter_to(broker(address))
        assert wait_until(lambda: stranger.lines)
        assert "certificate" in stranger.lines[0].lower()
        friend = reporter_to(broker(address, ca_file=str(certificate)))
        assert wait_until(lambda: friend._connection._connected)
        assert friend.lines == []
    finally:
        mosquitto.kill()


# ---- the program

@pytest.fixture
def program(model, any_engine, mosquitto):
    """``live --mqtt``, running."""
    started = []

    def start(*more):
        started.append(subprocess.Popen(
            [sys.executable, "-m", "coral_classify", "live", "test", "--model", str(model), "--device", "cpu", "--mqtt",
             mosquitto.url, "--name", "kitchen", *more], cwd=str(REPOSITORY), stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, universal_newlines=True))
        return started[-1]
    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_live_tells_the_broker_and_says_good_bye(program, observer):
    process = program()
    assert wait_until(lambda: observer.last(AVAILABILITY) == "online" and observer.labels(), 60)
    assert set(observer.labels()) <= {"red", "green", "blue"}
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in err
    assert wait_until(lambda: observer.last(AVAILABILITY) == "offline")


def test_a_program_that_is_killed_leaves_its_last_will(program, observer):
    process = program()
    assert wait_until(lambda: observer.last(AVAILABILITY) == "online", 60)
    process.kill()
    assert wait_until(lambda: observer.last(AVAILABILITY) == "offline")


@pytest.mark.parametrize("options, message", [
    (["--mqtt", "mqtt://hall:secret@b/"], "--mqtt-password-file"), (["--name", "kitchen"], "--name goes with --mqtt"),
    (["--mqtt", "b"], "must be mqtt://"), (["--mqtt", "mqtt://b/", "--name", ""], "--name must be")])
def test_wrong_usage_of_the_options_is_one_line(model, any_engine, options, message, capsys):
    from coral_classify.cli import main

    assert main(["live", "test", "--model", str(model), "--device", "cpu"] + options) == 2
    err = capsys.readouterr().err
    assert message in err and "secret" not in err and "Traceback" not in err


def test_without_paho_one_line_says_what_to_install(model, any_engine):
    script = ("import sys; sys.modules['paho'] = None; from coral_classify.cli import main; "
              "sys.exit(main(['live', 'test', '--model', %r, '--device', 'cpu', '--mqtt', 'mqtt://b/']))" % str(model))
    ended = subprocess.run([sys.executable, "-c", script], cwd=str(REPOSITORY), stderr=subprocess.PIPE,
                           stdout=subprocess.PIPE, universal_newlines=True)
    assert ended.returncode == 1 and "pip install 'coral_classify[mqtt]'" in ended.stderr
    assert "Traceback" not in ended.stderr
