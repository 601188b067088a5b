from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from PIL import Image
from tflite_writer import colours

from coral_classify import __version__


@pytest.fixture
def command(any_engine):
    def command(*arguments, **options):
        environment = dict(os.environ, PYTHONPATH=str(REPOSITORY), PYTHONIOENCODING="utf-8")
        done = subprocess.run([sys.executable, "-m", "coral_classify"] + [str(a) for a in arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **options)
        done.out = done.stdout.decode("utf-8")
        # The engine's own greeting is not ours to test.
        done.err = [line for line in done.stderr.decode("utf-8").splitlines() if not line.startswith("INFO: ")]
        return done
    return command


def test_a_table_for_people(command, model, green):
    done = command(green, "--model", model, "--device", "cpu")
    assert (done.returncode, done.err) == (0, [])
    lines = done.out.splitlines()
    assert lines[0] == str(green)
    assert lines[1].split() == ["rank", "label", "score"]
    assert [line.split() for line in lines[2:5]] == [["1", "green", "0.7843"], ["2", "blue", "0.3922"],
                                                     ["3", "red", "0.0000"]]
    assert lines[5] == "  model: colours.tflite"
    assert lines[6] == "  device: cpu (asked for the CPU)"
    assert lines[7].startswith("  time: ")


def test_json_lines_for_programs(command, model, green):
    done = command(green, "none.jpg", green, "--model", model, "--json", "--top-k", "1")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert done.returncode == 1
    assert [record["error"] for record in records] == [None, "image none.jpg: no such file", None]
    assert [len(record["predictions"]) for record in records] == [1, 0, 1]
    assert set(records[0]) == {"image", "model", "device", "device_reason", "predictions", "preprocess_ms",
                               "inference_ms", "error"}
    assert done.err == ["coral-classify: image none.jpg: no such file"]


def test_every_bad_picture_costs_one_line(command, model, green, tmp_path):
    empty, text, cut = tmp_path / "empty.jpg", tmp_path / "text.jpg", tmp_path / "cut.png"
    empty.write_bytes(b"")
    text.write_bytes(b"no picture")
    cut.write_bytes(green.read_bytes()[:50])
    done = command(empty, text, cut, "none.jpg", green, "--model", model)
    assert done.returncode == 1
    assert len(done.err) == 4 and all(line.startswith("coral-classify: image ") for line in done.err)
    assert "Traceback" not in "".join(done.err)
    assert done.out.startswith(str(green))


def test_a_picture_on_standard_input(command, model, green):
    done = command("-", "--model", model, "--json", input=green.read_bytes())
    record = json.loads(done.out)
    assert record["image"] == "-" and record["predictions"][0]["label"] == "green"
    done = command("-", "--model", model, input=b"")
    assert done.returncode == 1 and done.err == ["coral-classify: image -: is empty; copy or download it again"]


@pytest.mark.parametrize("arguments, message", [
    (["--top-k", "0"], "top_k must be at least 1"), (["--device", "tpu"], "device must be auto"),
    (["--rotate", "30"], "multiple of 90"), (["--region", "1,2"], "region must be"), (["--region", "a"], "not a list"),
    (["--allow", "purple"], "no class is called 'purple'"), (["--fit", "stretch"], "invalid choice"),
    (["--mean", "127"], "std is missing"), (["--threads", "0"], "threads must be"), (["--nonsense"], "unrecognized"),
])
def test_wrong_usage_is_exit_code_2(command, model, green, arguments, message):
    done = command(green, "--model", model, *arguments)
    assert done.returncode == 2 and message in done.err[-1] and done.out == ""


def test_no_picture_is_wrong_usage(command):
    assert command().returncode == 2


@pytest.mark.parametrize("content, message", [(b"", "the file is empty"), (b"text", "not a TFLite model"),
                                              (colours()[:200], "truncated or damaged")])
def test_a_broken_model_is_one_line(command, green, tmp_path, content, message):
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    done = command(green, "--model", path)
    assert done.returncode == 1 and len(done.err) == 1 and message in done.err[0] and "broken.tflite" in done.err[0]


def test_a_compiled_model_without_a_device_runs_its_twin_and_says_so(command, model, green, tmp_path, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "no-such-libedgetpu.so")
    compiled = tmp_path / "colours_edgetpu.tflite"
    compiled.write_bytes(colours(compiled=True))
    record = json.loads(command(green, "--model", compiled, "--json").out)
    assert record["device"] == "cpu" and record["model"] == str(model)
    assert "colours.tflite is the CPU twin" in record["device_reason"]
    model.unlink()
    done = command(green, "--model", compiled)
    assert done.returncode == 1 and "its CPU twin colours.tflite is missing" in done.err[0]


def test_labels_and_names_cannot_steer_the_terminal(command, tmp_path, green):
    path = tmp_path / "m.tflite"
    path.write_bytes(colours(labels=["red", "\x1b[31mgreen\x07", "blue"]))
    done = command(green, "--model", path, "--top-k", "1")
    assert "\x1b" not in done.out and "\\x1b[31mgreen\\x07" in done.out
    done = command("no\x1b[2Jfile.jpg", "--model", path)
    assert "\x1b" not in "".join(done.err)


@pytest.mark.parametrize("arguments", [["models", "info", "{}"], ["models", "add", "{}"], ["models", "verify", "{}"],
                                       ["models", "pull", "mobilenet-v2", "--from", "{}"], ["p.jpg", "--model", "{}"],
                                       ["p.jpg", "--csv", "{}"]])
def test_an_error_is_one_line_whatever_the_name(command, tmp_path, arguments):
    (tmp_path / "a\nb.csv").write_text("there already")
    done = command(*[a.replace("{}", "a\nb" + (".csv" if "--csv" in arguments else "")) for a in arguments],
                   cwd=str(tmp_path))
    assert done.returncode in (1, 2) and len(done.err) == 1 and "a\\nb" in done.err[0]


@pytest.mark.skipif(sys.platform == "win32" or sys.platform == "darwin", reason="needs a file system of bytes")
def test_a_file_name_that_is_not_utf8_is_printed(command, model, green):
    odd = os.fsencode(str(green.parent)) + b"/caf\xe9.png"
    shutil.copy(str(green), odd)
    done = command(os.fsdecode(odd), "--model", model)
    assert done.returncode == 0 and "caf\\udce9.png" in done.out
    assert json.loads(command(os.fsdecode(odd), "--model", model, "--json").out)["predictions"]


def test_explain_says_what_was_done(command, model, tmp_path):
    image = Image.new("RGB", (640, 480), (0, 200, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "p.jpg"
    image.save(path, exif=exif.tobytes())
    done = command(path, "--model", model, "--explain", "--mean", "0", "--std", "127.5")
    assert "  picture: 640 x 480, decoded at 80 x 60; EXIF: rotated 90 clockwise; region: all" in done.out
    assert "  resize: squash to 8 x 8" in done.out
    assert "mean 0, std 127.5 (from caller); 33.33 % of the values saturated" in done.out


def test_help_names_the_other_commands_and_needs_no_engine(command):
    done = command("--help")
    assert done.returncode == 0 and "coral-classify models" in done.out
    code = "import sys\nfrom coral_classify.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('numpy', 'PIL', 'ai_edge_litert', 'tflite_runtime') if m in sys.modules])"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=str(REPOSITORY)).decode()
    assert output.splitlines()[-1] == "[]"
    assert command("--version").out == "coral-classify %s\n" % __version__


def test_a_reader_that_leaves_is_no_error_of_ours(model, green, any_engine):
    line = "%s -m coral_classify %s --model %s | head -1" % (sys.executable, " ".join([str(green)] * 50), model)
    done = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, PYTHONPATH=str(REPOSITORY)))
    assert done.stdout.decode().strip() == str(green) and b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize("redirection, code, words", [
    (">&-", 0, None), ("2>&-", 0, None), ("<&-", 0, None), ("<&- >&- 2>&-", 0, None),
    ("> /dev/full", 1, b"No space left on device")])
def test_streams_that_are_closed_or_full_make_no_traceback(model, green, any_engine, tmp_path, redirection, code,
                                                           words):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    written = tmp_path / "out.csv"
    line = "exec %s -m coral_classify %%s %s" % (sys.executable, redirection)
    for arguments in ("%s --model %s" % (green, model), "models", "--help", "doctor --device cpu"):
        done = subprocess.run(["sh", "-c", line % arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(os.environ, PYTHONPATH=str(REPOSITORY)))
        assert b"Traceback" not in done.stderr + done.stdout and b"Exception" not in done.stderr
        assert done.returncode == code or arguments == "--help"     # argparse ignores a full disk
        assert words is None or words in done.stderr or arguments == "--help"
    # What belongs on a closed stream must not get into a file that has taken its number.
    subprocess.run(["sh", "-c", line % "%s none.jpg --model %s --csv %s" % (green, model, written)],
                   env=dict(os.environ, PYTHONPATH=str(REPOSITORY)), stdout=subprocess.DEVNULL)
    assert [row.split(",")[0] for row in written.read_text().splitlines()] == ["image", str(green), "none.jpg"]


def test_a_picture_on_a_closed_standard_input_is_an_empty_one(model, any_engine):
    done = subprocess.run(["sh", "-c", "exec %s -m coral_classify - --model %s <&-" % (sys.executable, model)],
                          stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(REPOSITORY)))
    assert done.returncode == 1 and b"image -: is empty" in done.stderr and b"Traceback" not in done.stderr


def test_any_character_is_printed_in_any_locale(any_engine, tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.tflite")
    odd.write_bytes(colours())
    done = subprocess.run([sys.executable, "-m", "coral_classify", "models", "info", str(odd)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(REPOSITORY),
                                                           PYTHONIOENCODING="ascii"))
    assert done.returncode == 0 and b"caf\\udce9.tflite" in done.stdout


@pytest.mark.parametrize("content, message", [(None, "no such file"), (b"text", "not a picture")])
def test_bench_names_a_picture_that_it_cannot_read(command, model, tmp_path, content, message):
    if content is not None:
        (tmp_path / "odd.jpg").write_bytes(content)
    done = command("bench", "--picture", tmp_path / "odd.jpg", "--model", model)
    assert done.returncode == 1 and len(done.err) == 1 and "odd.jpg: " + message in done.err[0]
