"""``POST /v1/classify``: one picture, several, parameters, and everything that is wrong with them."""
from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

pytest.importorskip("starlette", reason="a server needs the extra [serve]: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="a server needs the extra [serve]: pip install '.[serve]'")

from http_tools import ask  # noqa: E402
from serving_tools import serving  # noqa: E402
from worker_tools import children_of, wait_until  # noqa: E402

from coral_classify import Classifier, Pool  # noqa: E402
from coral_classify.cli import main  # noqa: E402
from coral_classify.errors import DeviceLost  # noqa: E402
from coral_classify.serving.forms import boundary, uploads  # noqa: E402
from coral_classify.testing import FakeSession  # noqa: E402
from coral_classify.types import Quantization, TensorSpec  # noqa: E402
from coral_classify.web import Limits  # noqa: E402

INPUT = TensorSpec((1, 8, 8, 3), np.dtype(np.uint8), Quantization(1.0, 0))
OUTPUT = TensorSpec((1, 3), np.dtype(np.uint8), Quantization(1.0, 0))


def mean(tensor):
    """Red, green and blue, as a classifier would answer."""
    return tensor.reshape(1, -1, 3).mean(axis=1).astype(np.uint8)


def colours(answer=mean):
    return Classifier(FakeSession(answer, input=INPUT, output=OUTPUT), labels=["red", "green", "blue"], mean=0, std=1)


def png(colour=(0, 200, 100), size=(16, 16)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def form(*files):
    """The body and the headers of a form with (name, content) each."""
    body = b"".join(b'--b\r\nContent-Disposition: form-data; name="picture"; filename="%s"\r\nContent-Type: image/png'
                    b"\r\n\r\n%s\r\n" % (name.encode(), content) for name, content in files)
    return body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def labels(record):
    return [one["label"] for one in record["predictions"]]


@pytest.fixture
def port():
    with colours() as classifier, serving(classifier) as port:
        yield port


def test_the_answer_is_the_record_that_json_prints(model, any_engine, green, capsys):
    assert main([str(green), "--model", str(model), "--device", "cpu", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    with Classifier(str(model), device="cpu") as classifier, serving(classifier) as port:
        status, answer, _ = ask(port, "POST", "/v1/classify", green.read_bytes())
    assert status == 200 and list(answer) == list(printed)
    assert answer["model"] == "colours.tflite"      # and nothing of its folder
    of_this_run = {"image", "model", "preprocess_ms", "inference_ms"}
    assert {k: v for k, v in answer.items() if k not in of_this_run} == {
        k: v for k, v in printed.items() if k not in of_this_run}


def test_curl_sends_a_picture_and_a_form(port, tmp_path):
    if not any((path / "curl").exists() for path in map(type(tmp_path), ("/usr/bin", "/bin", "/usr/local/bin"))):
        pytest.skip("needs curl")
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").write_bytes(png((200, 0, 0)))
    url = "http://127.0.0.1:%d/v1/classify?top_k=1" % port
    one = subprocess.check_output(["curl", "-sS", "--data-binary", "@a.png", url], cwd=str(tmp_path))
    assert labels(json.loads(one)) == ["green"]
    two = subprocess.check_output(["curl", "-sS", "-F", "p=@a.png", "-F", "p=@b.png", url], cwd=str(tmp_path))
    assert [(record["image"], labels(record)) for record in json.loads(two)] == [
        ("a.png", ["green"]), ("b.png", ["red"])]


@pytest.mark.parametrize("query, expected", [
    ("", ["green", "blue", "red"]), ("top_k=1", ["green"]), ("threshold=150", ["green"]),
    ("allow=red&allow=blue", ["blue", "red"]), ("deny=1", ["blue", "red"]), ("top_k=99999", ["green", "blue", "red"]),
    ("region=0,0,0.5,0.5&rotate=-90", ["green", "blue", "red"]), ("allow=red&deny=red", [])])
def test_parameters_stand_in_the_query(port, query, expected):
    status, answer, _ = ask(port, "POST", "/v1/classify?" + query, png())
    assert (status, labels(answer)) == (200, expected)


def test_what_the_query_leaves_out_is_as_the_server_was_told():
    with colours() as classifier, serving(classifier, wishes={"top_k": 1, "deny": ["green"]}) as port:
        assert labels(ask(port, "POST", "/v1/classify", png())[1]) == ["blue"]
        assert labels(ask(port, "POST", "/v1/classify?top_k=2", png())[1]) == ["blue", "red"]
        assert labels(ask(port, "POST", "/v1/classify?deny=blue", png())[1]) == ["green"]


@pytest.mark.parametrize("query, says", [
    ("top_k=0", "top_k must be at least 1"), ("top_k=x", "top_k must be a whole number, got 'x'"), ("top_k=", "top_k"),
    ("top_k=1.5", "whole number"), ("top_k=%EF%BC%93", "whole number"), ("top_k=" + "9" * 30, "whole number"),
    ("top_k=1&top_k=2", "several times"), ("threshold=nan", "threshold must be a number"),
    ("threshold=1e999", "threshold must be a number"), ("threshold=0x10", "a number"), ("allow=pink", "'pink'"),
    ("allow=", "allow must be"), ("allow=3", "outside this model"), ("deny=%00", "deny must be"),
    ("region=1,2,3", "four numbers"), ("region=a,b,c,d", "four numbers"), ("region=0,0,-1,1", "region"),
    ("region=0,0,inf,1", "four numbers"), ("rotate=45", "multiple of 90"), ("pink=1", "no parameter 'pink'"),
    ("image=/etc/passwd", "no parameter 'image'"), ("allow=" + "x" * 9000, "at most 8192 characters")],
    ids=lambda value: value[:30])
def test_a_value_that_cannot_be_meant_is_one_sentence(port, query, says):
    status, answer, _ = ask(port, "POST", "/v1/classify?" + query, png())
    assert status == 400 and says in answer["error"] and "\n" not in answer["error"]


@pytest.mark.parametrize("content", [b"", b"no picture", png()[:60], bytes(100000), b"\xff\xd8\xff" + bytes(5000)],
                         ids=["empty", "text", "cut short", "zeros", "a JPEG of zeros"])
def test_a_picture_that_does_not_open_is_one_line(port, content):
    status, answer, _ = ask(port, "POST", "/v1/classify", content)
    assert status == 422 and answer["predictions"] == []
    assert answer["error"].startswith("image <%d bytes>: " % len(content)) and "\n" not in answer["error"]


def test_a_picture_with_too_many_pixels_is_refused_as_everywhere(monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_MAX_PIXELS", "100")
    with colours() as classifier, serving(classifier) as port:
        status, answer, _ = ask(port, "POST", "/v1/classify", png())
    assert status == 422 and "16 x 16 pixels, and at most 100 are decoded" in answer["error"]


def test_a_region_outside_of_the_picture_does_not_fit_this_picture(port):
    status, answer, _ = ask(port, "POST", "/v1/classify?region=100,100,5,5", png())
    assert status == 422 and "region" in answer["error"]


def test_each_picture_of_a_form_has_its_row_and_a_bad_one_an_error(port):
    body, headers = form(("a.png", png()), ("../../etc/b\x1b.png", b"no picture"), ("c.png", png((0, 0, 255))))
    status, rows, _ = ask(port, "POST", "/v1/classify?top_k=1", body, headers)
    assert status == 200 and [labels(row) for row in rows] == [["green"], [], ["blue"]]
    assert [row["image"] for row in rows] == ["a.png", "b_.png", "c.png"]
    assert rows[1]["error"].startswith("image b_.png: not a picture") and rows[0]["error"] is None


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize("body, kind, says", [
    (b"", FORM, "cut short"), (b"--b--\r\n", FORM, "no picture"),
    (b"--b\r\n", FORM, "cut short"), (form(("a", b"1"))[0], "multipart/form-data", "boundary"),
    (form(("a", b"1"))[0], "multipart/mixed; boundary=b", "multipart/form-data"),
    (form(("a", b"1"))[0], "multipart/form-data; boundary=c", "cut short"),
    (form(*[("a", b"1")] * 65)[0], FORM, "at most 64 pictures"),
    (b"--bX\r\n\r\n\r\n--b--", FORM, "no headers"),
    (b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n3\r\n--b--\r\n', FORM,
     "stand in the address"),
    (b'--b\r\nContent-Disposition: form-data; name="p"; filename="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n3'
     b"\r\n--b--\r\n", FORM, "Content-Transfer-Encoding")])
def test_a_form_that_is_none_is_one_sentence(port, body, kind, says):
    status, answer, _ = ask(port, "POST", "/v1/classify", body, {"Content-Type": kind})
    assert status == 400 and says in answer["error"]


def test_what_lies_between_the_boundaries_is_the_picture_byte_for_byte():
    content = bytes(range(256)) + b"\r\n--" + b"\r\n\r\n--B--\r\n"
    body, headers = form(("a", content), ("\u00e4 b", b""))
    first, second = uploads(b"preamble\r\n" + body + b"epilogue", boundary(headers["Content-Type"]))
    assert (first.getvalue(), first.name, second.getvalue(), second.name) == (content, "a", b"", "\u00e4 b")


def test_the_queue_has_an_end_and_says_when_to_try_again():
    may_go_on, entered = threading.Event(), threading.Event()

    def slow(tensor):
        entered.set()
        may_go_on.wait(60)
        return mean(tensor)

    answers = []
    with colours(slow) as classifier, serving(classifier, waiting=2) as port:
        threads = [threading.Thread(target=lambda: answers.append(ask(port, "POST", "/v1/classify", png())[0]))
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        assert entered.wait(60)
        assert wait_until(lambda: ask(port, "GET", "/v1/service")[1]["waiting"] == 2)
        status, answer, headers = ask(port, "POST", "/v1/classify", png())
        assert (status, headers["retry-after"]) == (503, "1") and "2 requests wait already" in answer["error"]
        assert ask(port, "GET", "/v2/health/live")[0] == 200
        may_go_on.set()
        for thread in threads:
            thread.join()
        assert ask(port, "POST", "/v1/classify", png())[0] == 200
    assert answers == [200, 200]


def test_bodies_take_no_more_memory_together_than_they_may(port):
    with colours() as classifier, serving(classifier, held_bytes=1000) as port:
        status, answer, headers = ask(port, "POST", "/v1/classify", b"x" * 2000)
        assert status == 503 and headers["retry-after"] == "1" and "try again" in answer["error"]
        assert ask(port, "POST", "/v1/classify", png())[0] == 200


def test_what_is_in_hand_when_the_server_ends_is_answered():
    may_go_on, entered = threading.Event(), threading.Event()

    def slow(tensor):
        entered.set()
        may_go_on.wait(60)
        return mean(tensor)

    answers = []
    with colours(slow) as classifier:
        with serving(classifier) as port:
            asking = threading.Thread(target=lambda: answers.append(ask(port, "POST", "/v1/classify", png())))
            asking.start()
            assert entered.wait(60)
            threading.Timer(0.2, may_go_on.set).start()
        asking.join()
    assert [status for status, _, _ in answers] == [200]


def test_a_client_that_went_away_is_not_worked_for():
    may_go_on, runs = threading.Event(), []

    def slow(tensor):
        runs.append(tensor[0, 0, 0].tolist())
        may_go_on.wait(60)
        return mean(tensor)

    with colours(slow) as classifier, serving(classifier) as port:
        first = threading.Thread(target=ask, args=(port, "POST", "/v1/classify", png()))
        first.start()
        assert wait_until(lambda: runs)
        # More than the stream takes ahead, so that some of them wait before it.
        sockets = []
        for _ in range(30):
            sockets.append(socket.create_connection(("127.0.0.1", port), timeout=60))
            content = png((1, 1, 1))
            sockets[-1].sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                                % (len(content), content))
        assert wait_until(lambda: ask(port, "GET", "/v1/service")[1]["waiting"] == 31)
        for one in sockets:
            one.close()
        assert wait_until(lambda: ask(port, "GET", "/v1/service")[1]["waiting"] == 1)
        may_go_on.set()
        first.join()
        assert ask(port, "POST", "/v1/classify", png())[0] == 200
    assert len(runs) < 25


def test_a_device_that_is_lost_is_no_fault_of_the_picture():
    def lost(tensor):
        raise DeviceLost("usb:0 (/dev/bus/usb/002/003) went away")

    with colours(lost) as classifier, serving(classifier) as port:
        status, answer, headers = ask(port, "POST", "/v1/classify", png())
        assert (status, headers["retry-after"]) == (503, "1") and answer["error"] == "usb:0 (003) went away"
        body, kind = form(("a.png", png()), ("b.png", png()))
        assert ask(port, "POST", "/v1/classify", body, kind)[0] == 503
        assert ask(port, "POST", "/v1/classify", b"no picture")[0] == 422


def test_a_mistake_of_ours_is_told_and_the_next_request_is_answered(caplog):
    def wrong(tensor):
        if tensor[0, 0, 0, 0] == 66:
            raise RuntimeError("/home/owner is wrong")
        return mean(tensor)

    with colours(wrong) as classifier, serving(classifier) as port:
        status, answer, _ = ask(port, "POST", "/v1/classify", png((66, 0, 0)))
        assert status == 500 and "owner" not in json.dumps(answer)
        assert ask(port, "POST", "/v1/classify", png())[0] == 200


def test_a_worker_that_is_killed_in_the_middle_costs_no_answer(simulated, pair, any_engine, monkeypatch, tmp_path):
    monkeypatch.setenv("SIM_STATE", str(tmp_path))
    monkeypatch.setenv("SIM_INVOKE_MS", "20")
    answers = []

    def many():
        for _ in range(20):
            answers.append(ask(port, "POST", "/v1/classify?top_k=1", png())[:2])

    with Classifier(str(pair), device="usb:0") as classifier, serving(classifier) as port:
        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: len(answers) >= 5)
        for child in children_of(os.getpid()):
            os.kill(child, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert [status for status, _ in answers] == [200] * 80
        assert {label for _, answer in answers for label in labels(answer)} == {"green"}
        assert any(answer.get("recovered") for _, answer in answers)
        assert b"coral_classify_faults_survived_total 0.0" not in ask(port, "GET", "/metrics")[1]


def test_while_every_device_of_a_pool_is_away_a_request_waits_within_bounds(
        simulated, pair, any_engine, monkeypatch, tmp_path):
    monkeypatch.setattr("coral_classify.streaming.streams._PATIENCE_S", 0.5)
    monkeypatch.setattr("coral_classify.serving.desk._PATIENCE_S", 0.5)
    monkeypatch.setenv("SIM_STATE", str(tmp_path))
    (tmp_path / "devices").write_text("usb,usb")
    pair.with_name("colours.tflite").unlink()       # nothing stands in for them
    with Pool(str(pair)) as pool, serving(pool) as port:
        assert ask(port, "POST", "/v1/classify", png())[0] == 200
        (tmp_path / "devices").write_text("")
        for child in children_of(os.getpid()):
            os.kill(child, signal.SIGKILL)
        status, answer, headers = ask(port, "POST", "/v1/classify", png())
        assert (status, headers["retry-after"]) == (503, "1") and "away" in answer["error"]
        (tmp_path / "devices").write_text("usb,usb")
        assert wait_until(lambda: ask(port, "POST", "/v1/classify", png())[0] == 200)


def test_many_requests_at_once_get_their_own_answers(port):
    wrong = []

    def many(seed):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for number in range(20):
            colour = [(200, 0, 0), (0, 200, 0), (0, 0, 200)][(seed + number) % 3]
            connection.request("POST", "/v1/classify?top_k=1", png(colour))
            response = connection.getresponse()
            found = labels(json.loads(response.read()))
            if found != [["red"], ["green"], ["blue"]][(seed + number) % 3]:
                wrong.append((colour, found))
        connection.close()

    threads = [threading.Thread(target=many, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_body_that_is_too_long_and_one_that_does_not_come_have_their_status():
    with colours() as classifier, serving(classifier, limits=Limits(body_bytes=5000, request_s=0.5)) as port:
        assert ask(port, "POST", "/v1/classify", bytes(5001))[0] == 413
        with socket.create_connection(("127.0.0.1", port), timeout=60) as end:
            end.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
            assert end.recv(1000).startswith(b"HTTP/1.1 408")
        assert ask(port, "GET", "/v1/service")[1]["waiting"] == 0


def test_methods_that_are_not_meant_are_refused(port):
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        status, answer, headers = ask(port, method, "/v1/classify")
        assert status == 405 and "error" in answer and headers["allow"] == "POST"
    assert ask(port, "HEAD", "/v1/classify")[0] == 405
    for path in ("/../setup.py", "/%2e%2e/setup.py", "/page/index.html", "//etc/passwd", "/index.html/"):
        assert ask(port, "GET", path)[0] == 404


def test_the_metrics_count_what_happened(port):
    ask(port, "POST", "/v1/classify", png())
    ask(port, "POST", "/v1/classify", b"no picture")
    ask(port, "POST", "/v1/classify?top_k=0", png())
    ask(port, "GET", "/nothing/of/that/name")

    def value(line):
        text = ask(port, "GET", "/metrics")[1].decode()
        found = [one.rsplit(" ", 1)[1] for one in text.splitlines() if one.startswith(line + " ")]
        return float(found[0]) if found else None
    count = 'coral_classify_requests_total{route="%s",status="%s"}'
    assert wait_until(lambda: value(count % ("other", "404")) == 1)
    assert [value(count % ("/v1/classify", status)) for status in (200, 400, 422)] == [1, 1, 1]
    assert value('coral_classify_pictures_total{device="cpu",outcome="classified"}') == 1
    assert value('coral_classify_pictures_total{device="cpu",outcome="failed"}') == 1
    assert value('coral_classify_request_seconds_count{route="/v1/classify"}') == 3
    assert value("coral_classify_waiting") == 0 and value("coral_classify_held_bytes") == 0
    assert value("coral_classify_waiting_limit") == 128
    assert value('coral_classify_device_events_total{kind="lost"}') == 0
    assert "nothing" not in ask(port, "GET", "/metrics")[1].decode()


def test_the_command_says_where_it_listens_and_ends_in_order(model, any_engine, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "coral_classify", "serve", "--model", str(model), "--device", "cpu", "--listen",
         "127.0.0.1:0"], cwd=str(REPOSITORY), stderr=subprocess.PIPE, universal_newlines=True)
    try:
        line = next(line for line in process.stderr if line.startswith("serving"))
        assert line.startswith("serving colours on cpu at http://127.0.0.1:")
        port = int(line.rstrip("/\n").rsplit(":", 1)[1])
        assert labels(ask(port, "POST", "/v1/classify?top_k=1", png())[1]) == ["green"]
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


@pytest.mark.parametrize("options, says", [
    (["--listen", "nowhere"], "the address must be HOST:PORT"), (["--listen", "0.0.0.0:0"], "give a token"),
    (["--max-body", "0"], "--max-body must be a number above 0"), (["--max-body", "nan"], "--max-body"),
    (["--max-connections", "0"], "--max-connections must be at least 1"), (["--max-waiting", "-1"], "--max-waiting"),
    (["--token-file", "/no/such"], "/no/such")])
def test_a_wrong_option_is_one_line_before_a_model_is_opened(options, says, capsys, monkeypatch):
    monkeypatch.delenv("CORAL_CLASSIFY_TOKEN", raising=False)
    assert main(["serve", "--model", "/no/such/model.tflite"] + options) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
