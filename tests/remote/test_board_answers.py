"""Every answer that is not the one that was asked for is an error of the device, and never a wrong picture."""
from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time

import numpy as np
import pytest
from board_server import HEADER, Server, binary, reply
from conftest import heavy_program

from coral_classify.errors import DeadlineExceeded, DeviceError, DeviceLost, ModelError, SessionClosed, UsageError
from coral_classify.remote.addresses import board, is_board, token_from
from coral_classify.remote.session import BoardSession, Network
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, TensorSpec

RIGHT = np.array([[1, 2, 3, 4]], np.uint8)
PICTURE = np.zeros((1, 224, 224, 3), np.uint8)


@pytest.fixture
def server():
    with Server(FakeSession(lambda tensor: RIGHT)) as made:
        yield made


def network(session, **more):
    more.setdefault("names", ["m"])
    return Network("m.tflite", session.inputs, session.outputs, **more)


def opened(server, deadline_s=30.0, **more):
    return BoardSession(board(server.url), network(server.session, **more), deadline_s=deadline_s)


@pytest.mark.parametrize("address, url, model", [
    ("http://board:8750", "http://board:8750", None), ("HTTP://Board/", "http://board", None),
    ("https://[::1]:8443", "https://[::1]:8443", None), ("https://b.lan/v2/models/a%20b/", "https://b.lan", "a b")])
def test_an_address_says_where(address, url, model):
    assert is_board(address)
    found = board(address)
    assert (found.url, found.model) == (url, model)


@pytest.mark.parametrize("address", ["http://", "http://:80", "http://b:99999", "http://b:0", "http://b/x", "http://b?q",
                                     "http://b c", "http://[::1", "http://b\r\nX: y", "http://" + "a" * 70 + ".lan"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="device must be http://"):
        board(address)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(UsageError, match="CORAL_CLASSIFY_TOKEN") as refused:
        board("http://me:hunter2@board/")
    assert "hunter2" not in str(refused.value)


def test_a_token_is_shown_and_missed(monkeypatch, tmp_path):
    with Server(FakeSession(lambda tensor: RIGHT), token="let me in please") as guarded:
        with pytest.raises(DeviceError, match="CORAL_CLASSIFY_TOKEN") as refused:
            opened(guarded)
        assert refused.value.cause == "refused" and "a token is needed" in str(refused.value)
        file = tmp_path / "token"
        file.write_text("let me in please\n")
        with pytest.raises(UsageError, match="ASCII"):
            token_from(str(file))       # it has blanks
        with BoardSession(board(guarded.url), network(guarded.session), token="let me in please") as session:
            assert (session.run(PICTURE) == RIGHT).all()


def test_one_connection_serves_all_pictures_and_one_that_was_closed_meanwhile_is_made_anew(server):
    with opened(server) as session:
        for _ in range(5):
            assert (session.run(PICTURE) == RIGHT).all()
        assert len(server.connections) == 1
        server.cut()        # as a server does with one that was idle for long
        assert (session.run(PICTURE) == RIGHT).all()
        assert len(server.connections) == 1


def told(body, header=None):
    return lambda handler: reply(handler, 200, body, () if header is None else ((HEADER, header),))


def raw(text):
    def answer(handler):
        handler.wfile.write(text)
        handler.wfile.flush()
        handler.close_connection = True
    return answer


def text_of(**changed):
    return json.dumps(dict({"name": "out0", "datatype": "UINT8", "shape": [1, 4],
                            "parameters": {"binary_data_size": 4}}, **changed))


def as_answer(*records, content=b"\1\2\3\4"):
    text = ('{"outputs": [%s]}' % ", ".join(records)).encode()
    return told(text + content, str(len(text)))


WRONG = {
    "html": told(b"<html><body>Welcome to your router</body></html>"),
    "empty": told(b""), "a list": told(b"[]", "2"), "deep": told(b"[" * 60000, "60000"),
    "json without bytes": told(b'{"outputs": [{"name": "out0", "data": [1, 2, 3, 4]}]}'),
    "no number": told(b"{}", "two"), "negative": told(b"{}", "-2"), "too long a json": told(b"{}", "3"),
    "no outputs": told(b"{}", "2"), "outputs of another kind": told(b'{"outputs": 7}', "14"),
    "too few bytes": as_answer(text_of(), content=b"123"), "too many bytes": as_answer(text_of(), content=b"12345"),
    "another size": as_answer(text_of(parameters={"binary_data_size": 3}), content=b"123"),
    "a size that is none": as_answer(text_of(parameters={"binary_data_size": True})),
    "another dtype": as_answer(text_of(datatype="INT8")), "another shape": as_answer(text_of(shape=[1, 5])),
    "a shape that is none": as_answer(text_of(shape="14")), "another name": as_answer(text_of(name="scores")),
    "no name": as_answer("{}"), "twice": as_answer(text_of(), text_of(), content=RIGHT.tobytes() * 2),
    "an error": lambda handler: reply(handler, 500, {"error": "the device is\nbroken"}),
    "an error of html": lambda handler: reply(handler, 502, b"<html>"),
    "endless": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b" " * (1 << 17)),
    "endless chunks": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n"
                          + b" " * 0x10000 + b"\r\n10000\r\n" + b" " * 0x10000 + b"\r\n"),
    "broken off": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n%s: 2\r\n\r\n{}" % HEADER.encode()),
    "no http": raw(b"220 smtp.example ESMTP\r\n"), "nothing": raw(b""), "half a line": raw(b"HTTP/1.1 2"),
    "a header without end": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100000),
    "many headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n"),
    "a chunk that is none": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_is_an_error_of_the_device_and_the_next_one_is_right_again(wrong, server):
    with opened(server) as session:
        server.answer = WRONG[wrong]
        with pytest.raises(DeviceError, match=server.url) as failed:
            session.run(PICTURE)
        assert "\n" not in str(failed.value)
        server.answer = None
        assert (session.run(PICTURE) == RIGHT).all()


def test_a_redirect_is_not_followed(server):
    with Server(FakeSession(), token="secret") as elsewhere, opened(server) as session:
        server.answer = lambda handler: reply(handler, 307, b"", (("Location", elsewhere.url + "/v2"),))
        with pytest.raises(DeviceError, match="redirects are not followed"):
            session.run(PICTURE)
        assert elsewhere.requests == []


@pytest.mark.parametrize("length", [b"Content-Length: 20\r\n", b""])
def test_an_answer_after_which_the_server_hangs_up_is_read_to_its_end(server, length):
    def last_words(handler):
        handler.wfile.write(b"HTTP/1.1 403 No\r\nConnection: close\r\n" + length + b"\r\n")
        handler.wfile.flush()
        time.sleep(0.05)        # the body comes after the headers, as it does on any network
        handler.wfile.write(b'{"error": "not you"}')
        handler.close_connection = True
    with opened(server) as session:
        server.answer = last_words
        with pytest.raises(DeviceError, match="403: not you"):
            session.run(PICTURE)
        server.answer = None
        assert (session.run(PICTURE) == RIGHT).all()


def test_an_answer_that_drips_comes_to_an_end(server):
    over = threading.Event()

    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not over.wait(0.02):      # each byte comes in time
            handler.wfile.write(b" ")
            handler.wfile.flush()
    with opened(server, deadline_s=0.3) as session:
        server.answer = drip
        with pytest.raises(DeadlineExceeded, match="within 0.3 s"):
            session.run(PICTURE)
        over.set()


def test_a_server_that_is_full_is_asked_again(server):
    refusals = []

    def full(handler):
        refusals.append(1)
        if len(refusals) == 3:
            server.answer = None
        reply(handler, 503, {"error": "full"}, (("Retry-After", "0"),))
    with opened(server) as session:
        server.answer = full
        assert (session.run(PICTURE) == RIGHT).all() and len(refusals) == 3


def test_whoever_waits_can_be_broken_off(server):
    waiting, over = threading.Event(), threading.Event()

    def hang(handler):
        waiting.set()
        over.wait(60)
    session = opened(server, deadline_s=60.0)
    server.answer = hang
    failures = []

    def ask():
        try:
            session.run(PICTURE)
        except DeviceLost as exc:
            failures.append(exc)
    thread = threading.Thread(target=ask)
    thread.start()
    assert waiting.wait(30)
    session.break_off()
    thread.join(30)
    over.set()
    assert len(failures) == 1
    session.close()
    with pytest.raises(SessionClosed):
        session.run(PICTURE)


def test_without_a_server_it_says_so():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % free.getsockname()[1]
    session = FakeSession()
    with pytest.raises(DeviceError, match="is not reached: .*refused") as missing:
        BoardSession(board(url), network(session))
    assert not isinstance(missing.value, DeviceLost)        # it never was there


@pytest.mark.parametrize("describe, error, message", [
    (told(b"<html>"), DeviceError, "does not speak"), (told(b"{}"), DeviceError, "has no inputs"),
    (told(b'{"inputs": [{"name": "a", "datatype": "UINT8", "shape": ["x"]}]}'), DeviceError, "has no inputs"),
    (lambda handler: reply(handler, 404, b"no such page"), DeviceError, "knows no /v2/models"),
    (lambda handler: reply(handler, 302, b""), DeviceError, "redirects"),
    (told(b" " * (1 << 21)), DeviceError, "longer than")])
def test_what_is_no_server_of_models_is_said_to_be_none(server, describe, error, message):
    server.describe = describe
    with pytest.raises(error, match=message):
        opened(server)


def test_another_network_is_refused_by_its_tensors_and_by_its_content(server):
    session = server.session
    smaller = Network("m.tflite", [session.input._replace(shape=(1, 96, 96, 3))], session.outputs, names=["m"])
    with pytest.raises(ModelError, match=r"runs another network than m.tflite: it has as input UINT8 \[1, 224"):
        BoardSession(board(server.url), smaller)
    other = Network("m.tflite", session.inputs, [session.output._replace(quantization=Quantization(0.5, 0))],
                    names=["m"])
    with pytest.raises(ModelError, match="scale"):
        BoardSession(board(server.url), other)
    server.quantized = False        # a server that does not tell
    BoardSession(board(server.url), other).close()
    server.parameters = {"content_id": "a" * 40}
    with pytest.raises(ModelError, match="another file"):
        opened(server, content_ids=["b" * 40])
    opened(server, content_ids=["b" * 40, "a" * 40]).close()
    two = Network("m.tflite", list(session.inputs) * 2, session.outputs, names=["m"])
    with pytest.raises(ModelError, match="has 1 inputs, and the file 2"):
        BoardSession(board(server.url), two)


@pytest.mark.parametrize("told, warned", [
    ({"content_id": "a" * 40, "compiled": False}, True),
    ({"content_id": "b" * 40, "compiled": False}, False),
    ({"content_id": "a" * 40, "compiled": True}, False),     # the same network, perhaps, for the accelerator
    ({"content_id": 3, "compiled": False}, False),
    ({"compiled": False}, False),
])
def test_another_file_with_the_same_tensors_is_warned_of(server, caplog, told, warned):
    server.parameters = told
    opened(server, content_id="b" * 40).close()
    assert [record.levelname for record in caplog.records if "another file than m.tflite" in record.getMessage()] \
        == ["WARNING"] * warned


def test_the_model_is_looked_for_under_its_names(server):
    server.name = "m_edgetpu"
    with opened(server, names=["m", "m_edgetpu"]) as session:
        assert (session.run(PICTURE) == RIGHT).all()
    with pytest.raises(DeviceError, match=r"has no model x and no y \(there is one model here: m_edgetpu\)"):
        opened(server, names=["x", "y"])
    named = board(server.url + "/v2/models/m_edgetpu")
    BoardSession(named, network(server.session, names=["x"])).close()


def test_numbers_of_every_kind_come_back_as_they_went():
    specs = [TensorSpec((2, 3), np.dtype(kind), Quantization(0.0, 0)) for kind in ("uint8", "int8", "int32", "float32")]
    values = [np.arange(6).reshape(2, 3).astype(spec.dtype) - 3 for spec in specs]
    echo = FakeSession(lambda *tensors: tensors, input=specs, output=specs)
    with Server(echo) as server, BoardSession(board(server.url), network(echo)) as session:
        for sent, back in zip(values, session.run_all(values)):
            assert sent.dtype == back.dtype and (sent == back).all() and back.flags.writeable


def test_that_the_board_s_accelerator_has_gone_is_one_line(server, caplog):
    with opened(server) as session:
        session.run(PICTURE)
        for _ in range(3):
            server.answer = lambda handler: binary(handler, [RIGHT], {"device": "cpu"})
            session.run(PICTURE)
    assert [record.getMessage() for record in caplog.records] == ["%s answers with its cpu" % server.url]


def test_https_is_verified(tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.check_call(
        [heavy_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=board",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    with Server(FakeSession(lambda tensor: RIGHT), context=context) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(DeviceError, match="(?i)certificate"):
            BoardSession(board(url), network(server.session))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with BoardSession(board(url), network(server.session)) as session:
            assert (session.run(PICTURE) == RIGHT).all()
