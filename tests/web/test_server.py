"""A server on a real socket: who comes in, what is too much, how it ends."""
from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import REPOSITORY
from http_tools import ask

pytest.importorskip("starlette", reason="a server needs the extra [serve]: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="a server needs the extra [serve]: pip install '.[serve]'")

from starlette.responses import JSONResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from coral_classify.errors import CoralClassifyError  # noqa: E402
from coral_classify.web import Limits, Refused, Server, address, guarded, site, statics  # noqa: E402

TOKEN = "a-secret-of-many-characters"


async def _length(request):
    return JSONResponse({"bytes": len(await request.body())})


async def _refuses(request):
    raise Refused(409, "there is another one", {"Retry-After": "7"})


async def _fails(request):
    raise RuntimeError("/home/owner/secret.tflite")


ROUTES = [Route("/length", _length, methods=["POST"]), Route("/refuses", _refuses), Route("/fails", _fails)]


@pytest.fixture
def serving():
    """serving(routes=, token=, limits=, listen=) -> the port of a server that runs until the test ends."""
    servers = []

    def start(routes=ROUTES, token=None, limits=Limits(), listen="127.0.0.1:0"):   # noqa: B008
        where = address(listen)
        server = Server(guarded(site(routes), address=where, token=token, limits=limits), where, limits)
        server.start()
        servers.append(server)
        return server.port

    yield start
    for server in servers:
        server.stop()


def test_a_request_is_answered(serving):
    status, answer, headers = ask(serving(), "POST", "/length", b"12345")
    assert (status, answer) == (200, {"bytes": 5})
    assert "default-src 'none'" in headers["content-security-policy"]


def test_what_is_not_there_is_one_sentence(serving):
    port = serving()
    assert ask(port, "GET", "/nothing")[:2] == (404, {"error": "there is nothing here of that name"})
    assert ask(port, "GET", "/length")[:2] == (405, {"error": "this does not take that method"})


def test_a_refusal_keeps_its_status_sentence_and_headers(serving):
    status, answer, headers = ask(serving(), "GET", "/refuses")
    assert (status, answer, headers["retry-after"]) == (409, {"error": "there is another one"}, "7")


def test_a_mistake_of_the_server_tells_nothing_of_it(serving, caplog):
    status, answer, _ = ask(serving(), "GET", "/fails")
    assert status == 500 and "secret" not in json.dumps(answer)
    until = time.monotonic() + 60       # the answer goes out before the line is written
    while "secret.tflite" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    assert "secret.tflite" in caplog.text


def test_a_body_that_is_too_long_is_refused_before_it_is_read(serving):
    port = serving(limits=Limits(body_bytes=1000))
    status, answer, _ = ask(port, "POST", "/length", headers={"Content-Length": "1001"})
    assert status == 413 and "1000 bytes" in answer["error"]
    assert ask(port, "POST", "/length", b"x" * 1000)[0] == 200


def test_a_chunked_body_that_is_too_long_is_refused(serving):
    port = serving(limits=Limits(body_bytes=1000))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as end:
        end.sendall(b"POST /length HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        end.sendall(b"3e9\r\n" + b"x" * 1001 + b"\r\n")
        assert end.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_come_gets_a_timeout(serving):
    port = serving(limits=Limits(request_s=0.3))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as end:
        end.sendall(b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
        assert end.recv(1000).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("path, status", [(b"/length", b"408"), (b"/refuses", b"409")])
def test_a_body_that_trickles_in_after_its_refusal_does_not_hold_the_connection(serving, path, status):
    routes = ROUTES + [Route("/refuses", _refuses, methods=["POST"])]
    port = serving(routes[:1] + routes[3:], limits=Limits(request_s=0.3))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as end:
        end.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" % path)
        assert end.recv(1000).startswith(b"HTTP/1.1 " + status)
        until = time.monotonic() + 60
        with pytest.raises(OSError):
            while time.monotonic() < until:
                end.sendall(b"x")
                time.sleep(0.02)


def test_headers_that_do_not_come_end_the_connection(serving):
    port = serving(limits=Limits(request_s=0.3))
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as end:
            end.sendall(sent)
            assert end.recv(1000) == b""


def test_a_connection_too_many_is_told_so(serving):
    port = serving(limits=Limits(connections=2))
    held = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(2)]
    for connection in held:
        connection.request("POST", "/length", b"1")
        connection.getresponse().read()
    status, answer, headers = ask(port, "POST", "/length", b"1")
    assert (status, headers["retry-after"]) == (503, "1") and "too many" in answer["error"]
    for connection in held:
        connection.request("POST", "/length", b"1")
        assert connection.getresponse().status == 200
        connection.close()


def test_without_the_token_nobody_comes_in(serving):
    port = serving(token=TOKEN)
    status, answer, headers = ask(port, "POST", "/length", b"1")
    assert status == 401 and "token" in answer["error"] and headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer " + TOKEN[:-1], "Basic " + TOKEN, "Bearer", "Bearer \xe9" + TOKEN):
        assert ask(port, "POST", "/length", b"1", {"Authorization": wrong})[0] == 401
    assert ask(port, "POST", "/length", b"1", {"Authorization": "Bearer " + TOKEN})[0] == 200


def test_a_browser_shows_its_token_once_and_gets_a_cookie_that_is_not_the_token(serving):
    port = serving(token=TOKEN)
    status, _, headers = ask(port, "GET", "/refuses?token=" + TOKEN)
    assert status == 303 and headers["location"] == "/refuses"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
    assert ask(port, "GET", "/refuses", headers={"Cookie": cookie.split(";")[0]})[0] == 409
    assert ask(port, "GET", "/refuses", headers={"Cookie": "coral_classify=" + TOKEN})[0] == 401
    assert ask(port, "GET", "/refuses?token=wrong")[0] == 401


def test_the_way_in_leads_to_no_other_server(serving):
    port = serving(token=TOKEN)
    location = ask(port, "GET", "//elsewhere.example/x?token=" + TOKEN)[2]["location"]
    assert location.startswith("/") and not location.startswith("//")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8750", "127.0.0.1.evil.example", ""])
def test_a_local_server_answers_only_to_its_own_name(serving, host):
    assert ask(serving(), "POST", "/length", b"1", {"Host": host})[0] == 421


@pytest.mark.parametrize("headers, status", [
    ({"Origin": "http://evil.example"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Origin": "null"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 200), ({}, 200)])
def test_another_sites_page_changes_nothing(serving, headers, status):
    assert ask(serving(), "POST", "/length", b"1", headers)[0] == status


def test_its_own_page_may(serving):
    port = serving()
    assert ask(port, "POST", "/length", b"1", {"Origin": "http://127.0.0.1:%d" % port})[0] == 200


def test_a_port_that_is_taken_is_one_clear_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        where = address("127.0.0.1:%d" % taken.getsockname()[1])
        with pytest.raises(CoralClassifyError, match="another port"):
            Server(site([]), where).start()


def test_localhost_answers_on_all_its_addresses(serving):
    port = serving(listen="localhost:0")
    families = {info[0] for info in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
    for family in families:
        with socket.socket(family) as end:
            end.settimeout(60)
            end.connect(("127.0.0.1" if family == socket.AF_INET else "::1", port))
            end.sendall(b"GET /refuses HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert end.recv(100).startswith(b"HTTP/1.1 409")


def test_stop_answers_the_request_in_hand():
    inside, go_on = threading.Event(), threading.Event()

    async def slow(request):
        import asyncio

        inside.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return JSONResponse("done")

    where = address("127.0.0.1:0")
    server = Server(guarded(site([Route("/slow", slow)]), address=where), where, grace_s=60)
    server.start()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(server.port, "GET", "/slow")[:2]))
    asking.start()
    assert inside.wait(60)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    go_on.set()
    asking.join(60)
    stopping.join(60)
    assert answers == [(200, "done")] and not stopping.is_alive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_foreground_without_a_word(number):
    program = ("from coral_classify.web import *\nwhere = address('127.0.0.1:0')\n"
               "server = Server(guarded(site([]), address=where), where)\n"
               "server.run(lambda url: print(url, flush=True))\nprint('ended')")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=str(REPOSITORY), env=dict(os.environ), universal_newlines=True) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)
    assert (process.returncode, said, errors) == (0, "ended\n", "")


def test_static_files_have_types_and_an_index(tmp_path, serving):
    for name, content in (("index.html", "<p>"), ("page.js", "1"), ("page.css", "p{}"), ("notes.txt", "no")):
        (tmp_path / name).write_text(content)
    port = serving(routes=statics(tmp_path))
    assert ask(port, "GET", "/")[2]["content-type"].startswith("text/html")
    assert ask(port, "GET", "/page.js")[2]["content-type"].startswith("text/javascript")
    assert ask(port, "GET", "/page.css")[2]["content-type"].startswith("text/css")
    assert ask(port, "GET", "/notes.txt")[0] == 404
    assert ask(port, "GET", "/../pyproject.toml")[0] == 404
