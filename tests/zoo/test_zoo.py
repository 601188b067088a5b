from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import threading

import pytest
from conftest import REPOSITORY
from tflite_writer import colours

from coral_classify import Classifier
from coral_classify.cli.models import main
from coral_classify.errors import ModelError, ZooError
from coral_classify.locations import home
from coral_classify.modelfiles import passports
from coral_classify.zoo import catalogue as zoo
from coral_classify.zoo.requests import SameScheme

MANIFEST = json.loads((REPOSITORY / "models" / "manifest.json").read_text(encoding="utf-8"))


def pins(content):
    return {"git_blob": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
            "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A model called "colours" in a folder of its own, and a manifest that knows it."""
    folder = tmp_path / "source"
    folder.mkdir()
    contents = {"c.tflite": colours(), "c_edgetpu.tflite": colours(compiled=True), "c.txt": b"red\ngreen\nblue\n"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    passport = passports.Passport(
        "colours", "Colours", "classification",
        {"cpu": dict(pins(contents["c.tflite"]), name="c.tflite"),
         "edgetpu": dict(pins(contents["c_edgetpu.tflite"]), name="c_edgetpu.tflite")}, "c.txt", 0, 3, 0.0, 255.0)
    monkeypatch.setattr(passports, "load_manifest", lambda: (passport,))
    monkeypatch.setattr(passports, "_manifest", lambda: {"address": "https://127.0.0.1:9/",
                                                         "labels": {"c.txt": pins(contents["c.txt"])}})
    return folder


@contextlib.contextmanager
def serving(answer):
    """A local server; *answer(handler)* writes the response."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *arguments):
            pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "http://127.0.0.1:%d/" % server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def good(folder):
    def answer(handler):
        content = (folder / os.path.basename(handler.path)).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
    return answer


def left(part=False):
    """The files in the cache folder, without its locks; parts to go on from only if asked for."""
    return sorted(path.name for path in home().rglob("*")
                  if path.is_file() and path.name != ".lock" and (part or not path.name.endswith(".part")))


def test_a_folder_is_copied_and_the_model_is_then_a_name(files, any_engine, green_pixels):
    assert zoo.pull("colours", str(files)) == []
    assert left(part=True) == ["c.tflite", "c.txt", "c_edgetpu.tflite"]
    with Classifier("colours", device="cpu") as classifier:
        assert classifier.classify(green_pixels).predictions[0].label == "green"
        assert classifier.normalization.source == "passport of colours"


def test_a_url_is_downloaded(files):
    with serving(good(files)) as address:
        assert zoo.pull("colours", address) == []
    assert (home() / "models" / "c.tflite").read_bytes() == colours()


def test_what_is_here_is_not_fetched_again_and_what_is_damaged_is(files):
    zoo.pull("colours", str(files))
    (home() / "models" / "c.tflite").write_bytes(b"damaged")
    asked = []

    def answer(handler):
        asked.append(handler.path)
        good(files)(handler)
    with serving(answer) as address:
        zoo.pull("colours", address)
    assert asked == ["/c.tflite"]
    assert (home() / "models" / "c.tflite").read_bytes() == colours()


def status(code):
    return lambda handler: handler.send_error(code)


def lying(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(b"short")


def wrong_bytes(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"something else")


def silent(handler):
    handler.close_connection = True


@pytest.mark.parametrize("answer, message", [
    (status(404), "HTTP 404"), (status(500), "HTTP 500"), (lying, "it ended after 5 of 1000000 bytes"),
    (wrong_bytes, "content is not the published one"), (silent, "could not be brought")])
def test_a_bad_server_leaves_no_file_and_names_the_next_step(files, answer, message):
    with serving(answer) as address:
        with pytest.raises(ZooError, match=message):
            zoo.pull("colours", address)
    assert left() == []


def test_offline_is_told_with_the_way_to_copy_by_hand(files):
    with pytest.raises(ZooError, match="--from FOLDER"):
        zoo.pull("colours")
    assert left() == []


def test_a_disk_that_is_full_leaves_no_file(files, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ZooError, match="No space left"):
        zoo.pull("colours", str(files))
    assert left() == []


def test_a_mirror_must_be_https(files, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_MIRROR", "http://127.0.0.1/")
    with pytest.raises(ZooError, match="only https"):
        zoo.pull("colours")


def test_a_redirection_from_https_to_http_is_refused():
    request = type("Request", (), {"full_url": "https://a/b"})()
    with pytest.raises(OSError, match="not https"):
        SameScheme().redirect_request(request, None, 302, "", {}, "http://a/b")


def test_a_folder_with_one_of_the_two_files_is_enough_and_says_what_lacks(files, capsys):
    (files / "c_edgetpu.tflite").unlink()
    assert main(["pull", "colours", "--from", str(files)]) == 0
    printed = capsys.readouterr()
    assert "runs on the CPU only" in printed.err and "c.tflite" in printed.out
    (files / "c.tflite").unlink()


def test_an_empty_folder_an_unknown_name_and_no_folder_are_errors(files, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["pull", "colours", "--from", str(tmp_path / "empty")]) == 1
    assert "holds neither file" in capsys.readouterr().err
    assert main(["pull", "coulours"]) == 1
    assert "no published model is called 'coulours'" in capsys.readouterr().err
    assert main(["pull", "colours", "--from", str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_a_name_that_is_not_here_names_the_command(files):
    with pytest.raises(ModelError, match="coral-classify models pull colours"):
        Classifier("colours")


def test_the_list_shows_what_is_here(files, capsys):
    zoo.pull("colours", str(files))
    assert main([]) == 0
    assert re.search(r"^colours +3 .*yes +Colours$", capsys.readouterr().out, re.M)


def test_the_manifest_is_whole():
    assert set(MANIFEST) == {"source", "address", "licence", "labels", "models"}
    assert MANIFEST["address"].startswith("https://") and MANIFEST["address"].endswith("/")
    hexadecimal = re.compile(r"[0-9a-f]+$")
    names = [model["name"] for model in MANIFEST["models"]]
    assert len(set(names)) == len(names) == 22
    files = [file for model in MANIFEST["models"] for file in model["files"].values()]
    assert len({file["name"] for file in files}) == len({file["git_blob"] for file in files}) == len(files) == 44
    for pinned in files + list(MANIFEST["labels"].values()):
        assert len(pinned["git_blob"]) == 40 and hexadecimal.match(pinned["git_blob"])
        assert pinned["sha256"] is None or (len(pinned["sha256"]) == 64 and hexadecimal.match(pinned["sha256"]))
    for model in MANIFEST["models"]:
        assert model["files"]["edgetpu"]["name"] == model["files"]["cpu"]["name"].replace(".tflite", "_edgetpu.tflite")
        assert os.path.basename(model["files"]["cpu"]["name"]) == model["files"]["cpu"]["name"]
        assert (model["labels"] in MANIFEST["labels"]) == (model["kind"] == "classification")
        trained = (127, 128) if re.match("efficientnet|mobilenet-v3", model["name"]) else (128, 128)
        if model["name"].endswith("-tf2") or model["name"] == "resnet-50":
            trained = (None, None)      # not published: the input's range decides
        assert (model["mean"], model["std"]) == trained
        # The schema: what a passport knows, no more, and of these kinds.
        assert set(model) <= set(passports.Passport._fields) - {"licence", "label_pin", "own", "sure"}
        assert model["kind"] in ("classification", "embedding") and model["label_offset"] in (0, 1)
        assert 128 <= model["input_size"] <= 300
        assert set(model["latency_ms"] or {}) <= {"usb_accelerator", "dev_board"}
        assert set(model["accuracy"] or {}) <= {"top1_float", "top1_quantized"}
        assert 0.8 < (model.get("crop_fraction") or 1.0) <= 1.0
        if model["kind"] == "classification":
            assert model["classes"] in (965, 1000, 1001, 1022, 2102)
            assert (model["label_offset"] == 1) == (model["classes"] == 1000)


def test_the_real_files_are_the_ones_of_the_manifest(testdata):
    known = {file["name"]: file["git_blob"] for model in MANIFEST["models"] for file in model["files"].values()}
    here = [path for path in (testdata / "models").glob("*.tflite") if path.name in known]
    assert here
    for path in here:
        assert passports.git_blob_id(path) == known[path.name], path.name
