"""The page over HTTP: its files, the picture, what it says, who may do what, how it ends."""
from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time

import numpy as np
import pytest
from conftest import REPOSITORY
from live_tools import started, url_of
from test_scene import result

pytest.importorskip("starlette", reason="a page needs the extra [serve]: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="a page needs the extra [serve]: pip install '.[serve]'")

from coral_classify.errors import CoralClassifyError  # noqa: E402
from coral_classify.viewing import Page  # noqa: E402
from coral_classify.web import address  # noqa: E402

FILES = REPOSITORY / "coral_classify" / "viewing" / "page"


@pytest.fixture
def page(tmp_path):
    made = Page(address("127.0.0.1:0"), camera="test", folder=tmp_path)
    yield made
    made.close()


def port_of(page):
    return int(re.search(r":(\d+)/", page.url).group(1))


def ask(page, method, path, body=None, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=60)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), dict(headers))
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def opened(page, path):
    """A response that does not end, and its connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=60)
    connection.request("GET", path)
    return connection.getresponse(), connection


def until(condition, what):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def frame(value):
    return np.full((48, 64, 3), value, np.uint8)


def test_everything_that_the_page_is_made_of_is_served_and_nothing_comes_from_elsewhere(page):
    status, content, headers = ask(page, "GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    for name in re.findall(r'(?:src|href)="([^"#]+)"', content.decode()):
        assert ask(page, "GET", "/" + name)[0] == 200, name
    for path in FILES.iterdir():
        # Only the name of SVG's own namespace looks like an address.
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text(encoding="utf-8")), path.name


def test_the_state_is_that_of_the_newest_result_without_paths_of_this_machine(page):
    page.tell(result("<b>cat</b>", 0.75, changed=True)._replace(model="/home/owner/m.tflite", image="/home/owner/x"))
    until(lambda: b"cat" in ask(page, "GET", "/state")[1], "it is told")
    content = ask(page, "GET", "/state")[1]
    state = json.loads(content)
    assert b"/home/owner" not in content
    assert (state["camera"], state["held"]["label"], state["device"]) == ("test", "<b>cat</b>", "cpu")
    assert state["predictions"] == [{"class_id": 1, "label": "<b>cat</b>", "score": 0.75}]


def test_news_come_as_they_happen(page):
    response, connection = opened(page, "/events")
    assert response.getheader("content-type").startswith("text/event-stream")
    assert response.readline() == b"event: hour\n"
    page.tell(result("cat", changed=True))
    line = b""
    while not (line.startswith(b"data: ") and b'"cat"' in line):
        line = response.readline()
        assert line
    connection.close()


def test_the_picture_moves(page):
    page.tell(result(frame=frame(10)))
    response, connection = opened(page, "/picture")
    assert response.getheader("content-type") == "multipart/x-mixed-replace; boundary=coral"
    pictures = []
    for value in (10, 200):
        page.tell(result(frame=frame(value)))
        length = 0
        for line in iter(response.readline, b"\r\n"):
            assert line
            if line.lower().startswith(b"content-length"):
                length = int(line.split(b":")[1])
        pictures.append(response.read(length))
        assert response.readline() == b"\r\n" and pictures[-1][:2] == b"\xff\xd8"
    connection.close()
    assert pictures[0] != pictures[1]


def test_pictures_are_wanted_while_somebody_looks_and_now_and_then(page, monkeypatch):
    ages = iter([0.5, 2.0, 0.5, 0.5])
    monkeypatch.setattr(type(page.scene), "frame_age_s", property(lambda _: next(ages)))
    assert not page.wants_frame() and page.wants_frame()
    response, connection = opened(page, "/picture")
    until(lambda: page.viewers == 1, "it looks")
    assert page.wants_frame()
    connection.close()
    response.close()
    until(lambda: page.tell(result(frame=frame(2))) or page.viewers == 0, "it is gone")
    assert not page.wants_frame()
    assert ask(page, "POST", "/hold", {"page": "p", "name": "cat"})[0] == 200 and page.wants_frame()


def test_a_viewer_that_does_not_read_holds_nobody_up(page):
    with socket.create_connection(("127.0.0.1", port_of(page))) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        stuck.sendall(b"GET /picture HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: page.viewers == 1, "it looks")
        noise = np.random.RandomState(0).randint(0, 255, (480, 640, 3)).astype(np.uint8)
        for number in range(200):
            page.tell(result(frame=np.roll(noise, number, 0)))
            if number % 20 == 0:
                assert ask(page, "GET", "/state")[0] == 200
    until(lambda: page.viewers == 0, "it is gone")


def test_a_viewer_that_goes_is_forgotten(page):
    page.tell(result(frame=frame(1)))
    looking = [opened(page, "/picture") for _ in range(5)]
    until(lambda: page.viewers == 5, "all look")
    for response, connection in looking:
        response.close()
        connection.close()
    sender = threading.Event()
    until(lambda: page.tell(result(frame=frame(2))) or sender.wait(0.01) or page.viewers == 0, "all are gone")


@pytest.mark.parametrize("path, body, status, word", [
    ("/hold", {"page": "p"}, 400, "name"), ("/hold", {"page": 5, "name": "cat"}, 400, "page"),
    ("/hold", {"page": "p", "name": "x" * 100}, 422, "letters"), ("/hold", [1], 400, "object"),
    ("/forget", {"name": "nobody"}, 422, "no class"), ("/save", {"name": "../x"}, 422, "file"),
    ("/save", {"name": "fine"}, 422, "two classes")])
def test_what_cannot_be_done_is_one_sentence(page, path, body, status, word):
    answered, content, _ = ask(page, "POST", path, body)
    assert answered == status and word in json.loads(content)["error"]


def test_another_sites_page_cannot_teach(page):
    assert ask(page, "POST", "/hold", {"page": "p", "name": "x"}, {"Origin": "http://evil.example"})[0] == 403
    assert ask(page, "GET", "/hold")[0] == 405


def test_with_a_token_the_picture_is_for_those_who_know_it(tmp_path):
    page = Page(address("127.0.0.1:0"), "a-secret-of-many-characters", folder=tmp_path)
    try:
        for path in ("/", "/picture", "/events", "/state", "/page.js"):
            assert ask(page, "GET", path)[0] == 401
        cookie = ask(page, "GET", "/?token=a-secret-of-many-characters")[2]["set-cookie"].split(";")[0]
        assert ask(page, "GET", "/state", headers={"Cookie": cookie})[0] == 200
    finally:
        page.close()


def test_a_port_that_is_taken_is_one_clear_error(page, tmp_path):
    with pytest.raises(CoralClassifyError, match="another port"):
        Page(address("127.0.0.1:%d" % port_of(page)), folder=tmp_path)


def test_it_ends_while_viewers_look(tmp_path):
    page = Page(address("127.0.0.1:0"), folder=tmp_path)
    page.tell(result(frame=frame(1)))
    held = [opened(page, path) for path in ("/picture", "/events", "/picture")]
    until(lambda: page.viewers == 2, "they look")
    page.close()
    page.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("coral-classify-web")]
    for _, connection in held:
        connection.close()


def test_the_command_says_where_its_page_is_and_ends_with_control_c(any_engine):
    with started("test", "--device", "cpu", "--page", "127.0.0.1:0") as process:
        port = int(re.search(r":(\d+)/", url_of(process)).group(1))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/picture")
        assert connection.getresponse().status == 200       # somebody looks while it ends
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        connection.close()
    assert process.returncode == 0 and "Traceback" not in errors and "answered" in errors


def test_it_is_said_once_control_c_ends_it_in_order(any_engine):
    program = ("import sys, time\nfrom coral_classify.cli import live, main\nmake = live._Out.__init__\n"
               "def slowly(*arguments):\n    time.sleep(1)\n    make(*arguments)\nlive._Out.__init__ = slowly\n"
               "sys.exit(main(['live', 'test', '--device', 'cpu', '--page', '127.0.0.1:0']))")
    with started(python=("-c", program)) as process:
        url_of(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "answered" in errors


@pytest.mark.parametrize("options, word", [
    (["--page", "0.0.0.0:0"], "token"), (["--page", "nonsense"], "HOST:PORT"),
    (["--page", "127.0.0.1:0", "--teach-into", "/nosuch"], "no such folder")])
def test_a_page_that_cannot_be_is_one_line(any_engine, options, word):
    with started("test", "--device", "cpu", *options) as process:
        _, errors = process.communicate(timeout=120)
    lines = [line for line in errors.splitlines() if line.startswith("coral-classify")]
    assert process.returncode != 0 and word in lines[-1] and "Traceback" not in errors
