"""Transfers that break: resumed, locked, killed at any moment, and never wrong bytes under a good name."""
from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from conftest import REPOSITORY
from test_zoo import MANIFEST, files, good, left, pins, serving  # noqa: F401  (files is a fixture)
from tflite_writer import colours
from worker_tools import wait_until

from coral_classify import Classifier
from coral_classify.cli import main
from coral_classify.errors import ModelError, ZooError
from coral_classify.locations import home
from coral_classify.modelfiles import passports
from coral_classify.zoo import catalogue as zoo
from coral_classify.zoo import download

CONTENT = colours()
KILLS = int(os.environ.get("CORAL_CLASSIFY_KILLS", "10"))


def ranged(folder, asked, *, honest=True, break_at=None):
    """A server that knows ranges; the first answer for the model breaks off after *break_at* bytes."""
    def answer(handler):
        content = (folder / os.path.basename(handler.path)).read_bytes()
        wanted = handler.headers.get("Range")
        asked.append((handler.path, wanted))
        start = int(wanted[len("bytes="):-1]) if wanted else 0
        if start >= len(content) and wanted:
            handler.send_error(416)
            return
        shown = start if honest else 0
        handler.send_response(206 if wanted else 200)
        if wanted:
            handler.send_header("Content-Range", "bytes %d-%d/%d" % (shown, len(content) - 1, len(content)))
        handler.send_header("Content-Length", str(len(content) - shown))
        handler.end_headers()
        body = content[shown:]
        if break_at is not None and not wanted and handler.path == "/c.tflite":
            body = body[:break_at]
        handler.wfile.write(body)
    return answer


def test_a_broken_transfer_goes_on_where_it_was(files):  # noqa: F811
    asked = []
    with serving(ranged(files, asked, break_at=100)) as address:
        with pytest.raises(ZooError, match="it ended after 100 of %d bytes; say the same again" % len(CONTENT)):
            zoo.pull("colours", address)
        assert left() == [] and left(part=True) == [".c.tflite.coral-classify.part"]
        zoo.pull("colours", address)
    assert asked[:2] == [("/c.tflite", None), ("/c.tflite", "bytes=100-")]
    assert (home() / "models" / "c.tflite").read_bytes() == CONTENT
    assert left(part=True) == ["c.tflite", "c.txt", "c_edgetpu.tflite"]


@pytest.mark.parametrize("part", [b"of another file" * 5, CONTENT, CONTENT + b"and more"])
def test_a_part_of_other_bytes_costs_one_more_transfer(files, part):  # noqa: F811
    (home() / "models").mkdir(parents=True)
    (home() / "models" / ".c.tflite.coral-classify.part").write_bytes(part)
    asked = []
    with serving(ranged(files, asked)) as address:
        zoo.pull("colours", address)
    assert (home() / "models" / "c.tflite").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_anew(files):  # noqa: F811
    (home() / "models").mkdir(parents=True)
    (home() / "models" / ".c.tflite.coral-classify.part").write_bytes(CONTENT[:50])
    with serving(good(files)) as address:
        zoo.pull("colours", address)
    assert (home() / "models" / "c.tflite").read_bytes() == CONTENT


def test_a_server_that_sends_another_part_is_refused(files):  # noqa: F811
    (home() / "models").mkdir(parents=True)
    (home() / "models" / ".c.tflite.coral-classify.part").write_bytes(CONTENT[:50])
    with serving(ranged(files, [], honest=False)) as address:
        with pytest.raises(ZooError, match="another part than the one asked for"):
            zoo.pull("colours", address)
    assert left() == []


def test_more_than_the_limit_is_refused(files, monkeypatch):  # noqa: F811
    monkeypatch.setattr("coral_classify.zoo.download._SIZE_LIMIT", 100)
    with serving(good(files)) as address:
        with pytest.raises(ZooError, match="more than 100 bytes"):
            zoo.pull("colours", address)
    assert left() == []


def test_redirections_are_followed(files):  # noqa: F811
    def answer(handler):
        if handler.path.startswith("/moved/"):
            return good(files)(handler)
        handler.send_response(302)
        handler.send_header("Location", "/moved/" + os.path.basename(handler.path))
        handler.end_headers()
        return None
    with serving(answer) as address:
        zoo.pull("colours", address)
    assert "c.tflite" in left()


def test_a_silent_server_is_given_up(files, monkeypatch):  # noqa: F811
    monkeypatch.setattr("coral_classify.zoo.download._TIMEOUT", 0.3)
    enough = threading.Event()

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"a")
        handler.wfile.flush()
        enough.wait(20)
    with serving(answer) as address:
        with pytest.raises(ZooError, match="timed out"):
            zoo.pull("colours", address)
        enough.set()
    assert left() == []


PULL = """
import sys
sys.path[:0] = [%r, %r]
from coral_classify.modelfiles import passports
from coral_classify.zoo import download
from coral_classify.zoo import catalogue as zoo
passport = passports.Passport("colours", "Colours", "classification", %r, "c.txt", 0, 3, 0.0, 255.0)
passports.load_manifest = lambda: (passport,)
passports._manifest = lambda: {"address": "https://127.0.0.1:9/", "labels": {"c.txt": %r}}
print("ready", flush=True)
zoo.pull("colours", sys.argv[1])
"""


def start_pull(folder, address):
    described = {role: dict(pins((folder / name).read_bytes()), name=name)
                 for role, name in (("cpu", "c.tflite"), ("edgetpu", "c_edgetpu.tflite"))}
    script = textwrap.dedent(PULL) % (str(REPOSITORY), str(REPOSITORY / "tests"), described,
                                      pins((folder / "c.txt").read_bytes()))
    return subprocess.Popen([sys.executable, "-c", script, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def slowly(folder):
    """A server that sends a few bytes at a time, so that there are moments to be killed at."""
    asked = []

    class Slow:
        def __init__(self, file):
            self.file = file

        def write(self, body):
            for start in range(0, len(body), 64):
                self.file.write(body[start:start + 64])
                self.file.flush()
                time.sleep(0.002)

    def answer(handler):
        handler.wfile, real = Slow(handler.wfile), handler.wfile
        try:
            ranged(folder, asked)(handler)
        except OSError:     # its reader was killed
            pass
        finally:
            handler.wfile = real
    return answer


def test_killed_at_any_moment_there_is_no_bad_file_and_the_next_one_ends_it(files):  # noqa: F811
    right = {name: (files / name).read_bytes() for name in ("c.tflite", "c_edgetpu.tflite", "c.txt")}
    with serving(slowly(files)) as address:
        for _ in range(KILLS):
            process = start_pull(files, address)
            process.stdout.readline()
            time.sleep(random.uniform(0.0, 0.15))
            process.kill()
            process.communicate()
            for path in home().rglob("*"):
                if path.is_file() and path.name in right:
                    assert path.read_bytes() == right[path.name]
            if random.random() < 0.3:       # begin again now and then, so that there is something to kill
                for name in right:
                    for path in home().rglob(name):
                        path.unlink()
        last = start_pull(files, address)
        assert last.wait(60) == 0, last.stderr.read()
        last.communicate()
    assert left(part=True) == sorted(right)


def test_two_at_once_wait_for_each_other(files):  # noqa: F811
    with serving(slowly(files)) as address:
        both = [start_pull(files, address) for _ in range(2)]
        for process in both:
            assert process.wait(60) == 0, process.stderr.read()
            process.communicate()
    assert left(part=True) == ["c.tflite", "c.txt", "c_edgetpu.tflite"]


# ---- verify, remove, add, info, first use


def test_verify_finds_damage_and_pull_mends_it(files, capsys):  # noqa: F811
    zoo.pull("colours", str(files))
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.splitlines() == ["everyday-objects: ok", "colours: ok"]
    (home() / "models" / "c.tflite").write_bytes(b"damaged")
    assert main(["models", "verify", "colours"]) == 1
    assert "models pull colours mends it" in capsys.readouterr().err
    zoo.pull("colours", str(files))
    assert zoo.damaged("colours") == []
    assert main(["models", "verify", "nonsense"]) == 1
    assert "nothing is known under the name 'nonsense'" in capsys.readouterr().err


def test_remove_keeps_what_another_model_needs(files, monkeypatch, capsys):  # noqa: F811
    zoo.pull("colours", str(files))
    first = passports.load_manifest()[0]
    other = colours(scale=0.3)
    (home() / "models" / "d.tflite").write_bytes(other)
    second = first._replace(name="second", files={"cpu": dict(pins(other), name="d.tflite")})
    monkeypatch.setattr(passports, "load_manifest", lambda: (first, second))
    assert main(["models", "remove", "colours"]) == 0
    assert left(part=True) == ["c.txt", "d.tflite"]
    assert main(["models", "remove", "second"]) == 0
    assert left(part=True) == []
    assert main(["models", "remove", "colours"]) == 1
    assert "none of its files is in" in capsys.readouterr().err


def test_a_model_of_one_s_own_is_a_name(files, tmp_path, any_engine, green_pixels, capsys):  # noqa: F811
    own = tmp_path / "own_edgetpu.tflite"
    own.write_bytes(colours(compiled=True, scale=0.5))
    (tmp_path / "own.tflite").write_bytes(colours(scale=0.5))
    (tmp_path / "names.txt").write_text("rot\ngruen\nblau\n")
    assert main(["models", "add", str(own), "--labels", str(tmp_path / "names.txt"), "--mean", "10", "--std", "2",
                 "--name", "farben"]) == 0
    assert "use it with --model farben" in capsys.readouterr().out
    with Classifier("farben", device="cpu") as classifier:
        assert classifier.classify(green_pixels).predictions[0].label == "gruen"
        assert classifier.normalization[:3] == ((10.0,), (2.0,), "passport of farben")
    assert "farben" in zoo.names()
    assert main(["models"]) == 0
    assert "farben" in capsys.readouterr().out
    assert main(["models", "verify", "farben"]) == 0
    # Recognised by content under any name.
    assert passports.by_file(tmp_path / "own.tflite").name == "farben"
    assert main(["models", "remove", "farben"]) == 0
    assert "farben" not in zoo.names() and left() == []


@pytest.mark.parametrize("arguments, code, message", [
    (["add", "{none}"], 1, "no such file"), (["add", "{own}", "--mean", "1"], 2, "mean and std belong together"),
    (["add", "{own}", "--name", "../x"], 2, "use letters"),
    (["add", "{own}", "--mean", "1", "--std", "0"], 2, "positive"),
    (["add", "{own}", "--mean", "nan", "--std", "1"], 2, "mean must be"),
    (["add", "{own}", "--label-offset", "-1"], 2, "must not be negative"),
    (["add", "{own}", "--labels", "{text}"], 1, "1 names, but the model has 3 classes"),
    (["add", "{own}", "--name", "colours"], 1, "published model"),
    (["add", "{own}", "--labels", "{none}"], 2, "no such file"), (["add", "{text}"], 1, "not a TFLite model"),
    (["info", "nonsense"], 1, "no model of that name")])
def test_what_cannot_be_added_says_why(files, tmp_path, capsys, arguments, code, message):  # noqa: F811
    (tmp_path / "own.tflite").write_bytes(colours())
    (tmp_path / "text.tflite").write_text("a text, and no model")
    places = {"{none}": "none.tflite", "{own}": "own.tflite", "{text}": "text.tflite"}
    said = [str(tmp_path / places[word]) if word in places else word for word in arguments]
    assert main(["models"] + said) == code
    assert message in capsys.readouterr().err
    assert left() == []


def test_info_says_what_is_known_read_and_assumed(files, tmp_path, capsys):  # noqa: F811
    zoo.pull("colours", str(files))
    assert main(["models", "info", "colours"]) == 0
    out = capsys.readouterr().out
    for part in ("known\n", "read from", "1 x 8 x 8 x 3 uint8", "mean 0, std 255: passport of colours",
                 "1 AVERAGE_POOL_2D"):
        assert part in out
    odd = tmp_path / "odd.tflite"
    odd.write_bytes(colours(scale=0.3))
    assert main(["models", "info", str(odd)]) == 0
    out = capsys.readouterr().out
    assert "known: nothing" in out and "assumed: normalization unknown" in out
    assert main(["models", "info", "colours", "--json"]) == 0
    assert '"inspection"' in capsys.readouterr().out


def test_pull_on_first_use(files, any_engine, green, monkeypatch, capsys):  # noqa: F811
    with serving(good(files)) as address:
        # A mirror must be https; the local server stands for the publisher's address.
        monkeypatch.setattr(passports, "address", lambda: address)
        monkeypatch.setattr(zoo, "_SAFE", ("http://",))
        with pytest.raises(ModelError, match="coral-classify models pull colours"):
            Classifier("colours")
        assert main([str(green), "--model", "colours", "--device", "cpu"]) == 1
        assert "models pull colours" in capsys.readouterr().err
        assert main([str(green), "--model", "colours", "--device", "cpu", "--yes"]) == 0
        assert "green" in capsys.readouterr().out
        zoo.remove("colours")
        monkeypatch.setenv("CORAL_CLASSIFY_PULL", "1")
        with Classifier("colours", device="cpu") as classifier:
            assert classifier.classify(str(green)).predictions[0].label == "green"


def test_at_a_terminal_it_asks(monkeypatch, capsys):
    import io

    from coral_classify.cli.downloading import agreed

    for answer, expected in (("y\n", True), ("\n", False), ("no\n", False)):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        assert agreed("colours", False) is expected
    assert "download it now? [y/N]" in capsys.readouterr().err


def test_progress_is_shown_only_at_a_terminal(monkeypatch):
    from coral_classify.cli.downloading import progress

    wanted = zoo.Wanted("c.tflite", "models", "", None)
    assert progress(wanted) is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    show = progress(wanted)
    show(10, 20)
    show(20, 20)


def test_an_efficientnet_goes_the_whole_way_with_its_normalization(files, any_engine, monkeypatch):  # noqa: F811
    content = colours(scale=0.012566, zero_point=131)
    (files / "c.tflite").write_bytes(content)
    passport = passports.load_manifest()[0]
    passport = passport._replace(mean=127.0, std=128.0, files={"cpu": dict(pins(content), name="c.tflite")})
    monkeypatch.setattr(passports, "load_manifest", lambda: (passport,))
    zoo.pull("colours", str(files))
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    with Classifier("colours", device="cpu") as classifier:
        tensor = classifier.prepared(pixels, classifier.wanted()).tensor
        result = classifier.classify(pixels)
    scale = float(np.float32(0.012566))
    exact = np.clip(np.rint((pixels.astype(np.float64) - 127) / (128 * scale)) + 131, 0, 255)
    assert (tensor[0] == exact).all()
    assert (result.preprocessing.mean, result.preprocessing.std) == (127.0, 128.0)


def test_real_files_go_the_whole_way(testdata, any_engine):
    zoo.pull("mobilenet-v1-0.25-128", str(testdata / "models"))
    assert zoo.damaged("mobilenet-v1-0.25-128") == []
    for role in ("cpu", "edgetpu"):
        name = next(m for m in MANIFEST["models"] if m["name"] == "mobilenet-v1-0.25-128")["files"][role]["name"]
        assert (home() / "models" / name).read_bytes() == (testdata / "models" / name).read_bytes()
    with Classifier("mobilenet-v1-0.25-128", device="cpu") as classifier:
        assert classifier.classify(testdata / "images" / "cat.bmp").predictions[0].label
    assert wait_until(lambda: left(part=True) == sorted(left()))


@pytest.mark.parametrize("address, message", [
    ("http://127.0.0.1:abc/", "nonnumeric port"), ("http://[::1/", "Invalid IPv6"), ("s3://x", "unknown url type: s3")])
def test_an_address_that_is_none_is_told(files, address, message):  # noqa: F811
    with pytest.raises(ZooError, match="c.tflite could not be brought from %s.*%s" % (re.escape(address), message)):
        zoo.pull("colours", address)


@pytest.mark.parametrize("words", [b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"])
def test_a_server_that_breaks_the_protocol_is_told(files, words):  # noqa: F811
    with serving(lambda handler: handler.wfile.write(words)) as address:
        with pytest.raises(ZooError, match="c.tflite could not be brought from http"):
            zoo.pull("colours", address)
    assert left() == []


def test_a_name_that_is_added_anew_keeps_no_file_of_what_it_was(tmp_path, any_engine):
    for name, compiled in (("a.tflite", False), ("a_edgetpu.tflite", True), ("b.tflite", False)):
        (tmp_path / name).write_bytes(colours(compiled=compiled))
    zoo.add(tmp_path / "a.tflite", name="mine")
    assert left() == ["mine.json", "mine.tflite", "mine_edgetpu.tflite"]
    zoo.add(tmp_path / "b.tflite", name="mine")
    assert left() == ["mine.json", "mine.tflite"]


# ---- servers that lie, dawdle or lead elsewhere; files that are somebody else's


def trickling(part, *, headers=True):
    """A server that sends *part* again and again, a little at a time, until its reader is gone."""
    def answer(handler):
        with contextlib.suppress(OSError):
            if headers:
                handler.send_response(200)
                handler.send_header("Content-Length", "100000000")
                handler.end_headers()
            while True:
                handler.wfile.write(part)
                handler.wfile.flush()
                time.sleep(0.01)
    return answer


def test_a_server_that_dawdles_is_given_up_and_the_rate_is_told(files, monkeypatch):  # noqa: F811
    monkeypatch.setattr(download, "_WINDOW", 0.2)
    monkeypatch.setattr(download, "_LEAST_RATE", 100000)
    with serving(trickling(b"a")) as address, pytest.raises(ZooError, match="it is too slow .* say the same again"):
        zoo.pull("colours", address)
    assert left() == []


def test_a_transfer_that_takes_for_ever_is_given_up(files, monkeypatch):  # noqa: F811
    monkeypatch.setattr(download, "_LONGEST", 0.2)
    with serving(trickling(b"a")) as address, pytest.raises(ZooError, match="it takes more than 0 s"):
        zoo.pull("colours", address)


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nX-Y: a", b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_headers_that_never_end_are_given_up(files, monkeypatch, part):  # noqa: F811
    monkeypatch.setattr(download, "_OPENING", 0.3)
    with serving(trickling(part, headers=False)) as address:
        with pytest.raises(ZooError, match="could not be brought"):
            zoo.pull("colours", address)
    assert left(part=True) == []


@pytest.mark.parametrize("length", [None, "10", "1000000000"])
def test_an_endless_body_leaves_nothing_behind(files, monkeypatch, length):  # noqa: F811
    monkeypatch.setattr(download, "_SIZE_LIMIT", 100000)

    def answer(handler):
        with contextlib.suppress(OSError):
            handler.send_response(200)
            if length:
                handler.send_header("Content-Length", length)
            handler.end_headers()
            while True:
                handler.wfile.write(b"a" * 10000)
    with serving(answer) as address, pytest.raises(ZooError):
        zoo.pull("colours", address)
    assert left(part=True) == []


@pytest.mark.parametrize("place", ["https://127.0.0.1:9/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "HTTPS://a/b"])
def test_a_redirection_to_another_scheme_is_refused(files, place):  # noqa: F811
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.end_headers()
    with serving(answer) as address, pytest.raises(ZooError, match="it redirects to .*, which is not http"):
        zoo.pull("colours", address)
    assert left(part=True) == []


@pytest.mark.parametrize("place", ["http://me:hunter2@127.0.0.1:9/m", "https://me:hunter2@127.0.0.1:9/m",
                                   "https://me:hunter2@[::1/", "s3://me:hunter2@x", "https://me:hunter2/x@127.0.0.1/",
                                   "http://me:hunter2@127.0.0.1:abc/"])
@pytest.mark.parametrize("how", ["--from", "environment"])
def test_a_password_is_never_printed(files, capsys, monkeypatch, place, how):  # noqa: F811
    if how == "environment":
        monkeypatch.setenv("CORAL_CLASSIFY_MIRROR", place)
    assert main(["models", "pull", "colours"] + (["--from", place] if how == "--from" else [])) == 1
    printed = capsys.readouterr()
    assert "hunter2" not in printed.err + printed.out and "***" in printed.err


def test_name_and_password_reach_the_server_and_no_other(files):  # noqa: F811
    asked, elsewhere = [], []

    def other(handler):
        elsewhere.append(handler.headers.get("Authorization"))
        good(files)(handler)

    with serving(other) as second:
        def answer(handler):
            asked.append(handler.headers.get("Authorization"))
            handler.send_response(302)
            handler.send_header("Location", second + os.path.basename(handler.path))
            handler.end_headers()
        with serving(answer) as address:
            zoo.pull("colours", address.replace("://", "://me:hun%20ter2@"))
    assert set(asked) == {"Basic bWU6aHVuIHRlcjI="} and set(elsewhere) == {None}


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_a_part_that_is_not_ours_is_left_alone(files, tmp_path, kind):  # noqa: F811
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    part = home() / "models" / ".c.tflite.coral-classify.part"
    part.parent.mkdir(parents=True)
    {"link": lambda: part.symlink_to(victim), "hard link": lambda: os.link(str(victim), str(part)),
     "pipe": lambda: os.mkfifo(str(part)), "folder": part.mkdir}[kind]()
    for source in (str(files), None):
        with serving(good(files)) as address:
            zoo.pull("colours", source or address)
        assert (home() / "models" / "c.tflite").read_bytes() == CONTENT
        (home() / "models" / "c.tflite").unlink()
    assert victim.read_bytes() == b"precious" and os.path.lexists(str(part))


def test_a_model_of_one_s_own_goes_through_no_link_either(tmp_path, any_engine):
    (tmp_path / "own.tflite").write_bytes(CONTENT)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for folder, name in (("models", ".own.tflite.part"), ("passports", "own.part")):
        (home() / folder).mkdir(parents=True)
        (home() / folder / name).symlink_to(victim)
    zoo.add(tmp_path / "own.tflite")
    assert victim.read_bytes() == b"precious"


HOLD = """
import os, sys, time
sys.path.insert(0, %r)
from pathlib import Path
from coral_classify.zoo.locks import locked
with locked(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    if sys.argv[2] != "fork":
        print("held", flush=True)
        sys.stdin.read()
    os._exit(0)
"""


def held(folder, how):
    return subprocess.Popen([sys.executable, "-c", HOLD % str(REPOSITORY), str(folder), how], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)


def test_who_waits_for_the_lock_says_for_whom(files, caplog):  # noqa: F811
    process = held(home() / "models", "hold")
    process.stdout.readline()
    pulling = threading.Thread(target=zoo.pull, args=("colours", str(files)))
    pulling.start()
    assert wait_until(lambda: "waiting for process %d (" % process.pid in caplog.text)
    assert left() == []
    process.communicate()
    pulling.join(60)
    assert "c.tflite" in left()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a lock is inherited by a fork")
def test_a_lock_that_outlives_its_process_holds_nobody_up(files, caplog):  # noqa: F811
    process = held(home() / "models", "fork")
    heir = int(process.stdout.readline())
    try:
        process.wait(60)
        zoo.pull("colours", str(files))
        assert "has ended without giving up" in caplog.text and "c.tflite" in left()
    finally:
        os.kill(heir, signal.SIGKILL)
        process.communicate()
