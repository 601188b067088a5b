"""Files that are no files, Ctrl-C at any time, names that are too long: one line each, and nothing waits."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import REPOSITORY

from coral_classify import Classifier
from coral_classify.cli import main
from coral_classify.cli.output import _folder_name
from coral_classify.errors import LabelsError, ModelError
from coral_classify.modelfiles import passports, read_labels, read_model

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(REPOSITORY))


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(str(path))
    return path


@pytest.fixture
def classify(model, any_engine, green, capsys):
    def classify(*arguments, picture=green):
        code = main([str(a) for a in (picture,) + arguments] + ["--model", str(model), "--device", "cpu"])
        return code, capsys.readouterr().err.splitlines()
    return classify


@pytest.mark.parametrize("place, said", [("pipe", "is a pipe; give a file"), ("/dev/zero", "is a device; give a file")])
def test_a_model_that_is_no_file_is_not_waited_for(pipe, place, said):
    with pytest.raises(ModelError, match=said):
        read_model(pipe if place == "pipe" else place)


def test_labels_come_from_a_file_or_from_a_pipe_that_somebody_writes_to(pipe):
    with pytest.raises(LabelsError, match="labels .*pipe: is a pipe that nobody writes to"):
        read_labels(pipe)
    with pytest.raises(LabelsError, match="labels /dev/zero: is a device; give a file"):
        read_labels("/dev/zero")
    reader = os.open(str(pipe), os.O_RDONLY | os.O_NONBLOCK)     # lets a writer in before we read
    writer = os.open(str(pipe), os.O_WRONLY)
    os.write(writer, b"cat\ndog\n")
    threading.Timer(0.1, os.close, (writer,)).start()
    assert read_labels(pipe) == ("cat", "dog")
    os.close(reader)


def test_labels_without_an_end_are_not_read_to_it(tmp_path):
    path = tmp_path / "labels.txt"
    with open(str(path), "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(LabelsError, match="has more than 16777216 bytes"):
        read_labels(path)


@pytest.mark.parametrize("option", ["--csv", "--jsonl"])
def test_results_go_into_a_pipe_only_if_somebody_reads_it(classify, pipe, option):
    code, err = classify(option, pipe)
    assert code == 1 and err == ["coral-classify: %s: is a pipe that nobody reads; start first what reads it" % pipe]
    reader = os.open(str(pipe), os.O_RDONLY | os.O_NONBLOCK)
    assert classify(option, pipe)[0] == 0
    assert b"green" in os.read(reader, 1 << 16)
    os.close(reader)


def test_a_list_that_is_a_pipe_is_not_waited_for_and_a_device_is_not_read(classify, pipe):
    code, err = classify(picture="@%s" % pipe)
    assert code == 1 and "list %s: is a pipe that nobody writes to" % pipe in err[0]
    code, err = classify(picture="@/dev/zero")
    assert code == 1 and "list /dev/zero: is a device" in err[0]


def test_a_line_without_an_end_is_no_name(classify, tmp_path):
    (tmp_path / "names.txt").write_bytes(b"x" * 200000)
    code, err = classify(picture="@%s" % (tmp_path / "names.txt"))
    assert code == 1 and "is no file name; give one per line" in err[0] and len(err[0]) < 300


@pytest.mark.parametrize("label", ["\U0001f600" * 80, "\u00e9" * 200, "x" * 300, "\U0001f468\u200d\U0001f469" * 50])
def test_a_folder_s_name_is_cut_between_characters_to_what_the_system_takes(tmp_path, label):
    name = _folder_name(label)
    assert label.startswith(name) and 60 <= len(name.encode("utf-8")) <= 255
    (tmp_path / name).mkdir()


def test_a_file_that_is_not_there_advertises_nothing(any_engine, capsys, tmp_path):
    assert main([str(tmp_path / "nosuch.jpg")]) == 1
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if not line.startswith("INFO")] == [
        "coral-classify: image %s: no such file" % (tmp_path / "nosuch.jpg")]


def test_a_changed_model_behind_a_known_name_is_told(any_engine, model, tmp_path, caplog):
    target = tmp_path / "home" / "models"
    target.mkdir(parents=True)
    passport = passports.load_manifest()[0]
    for name in {file["name"] for file in passport.files.values() if "_edgetpu" not in file["name"]}:
        (target / name).write_bytes(model.read_bytes())
        for asked in (passport.name, name):
            caplog.clear()
            with Classifier(asked, device="cpu"):
                pass
            said = [record.getMessage() for record in caplog.records if "is not the file" in record.getMessage()]
            assert len(said) == 1 and asked in said[0] and "models pull " + passport.name in said[0]
    caplog.clear()
    with Classifier(str(model), device="cpu"):
        assert not [record for record in caplog.records if "is not the file" in record.getMessage()]


@pytest.mark.skipif(os.name != "posix", reason="supervision needs POSIX")
def test_supervision_starts_from_a_folder_that_is_gone(any_engine, model, tmp_path):
    script = ("import sys\ntry:\n    import numpy\nexcept SystemError:\n    sys.exit(77)\n"
              "import coral_classify\nwith coral_classify.Classifier(%r, supervised=True, device='cpu') as c:\n"
              "    print(c.device)" % str(model))
    shell = 'mkdir "$1"; cd "$1"; rmdir "$1"; exec "$2" -c "$3"'
    done = subprocess.run(["sh", "-c", shell, "sh", str(tmp_path / "gone"), sys.executable, script],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    if done.returncode == 77:
        pytest.skip("NumPy itself cannot be imported there with this Python (3.13.0 with NumPy 2.5)")
    assert done.stdout == b"cpu\n", done.stderr.decode()


# Ctrl-C as it would come from outside, but at places that are known: while a module is being loaded.
INTERRUPTED = """
import os, signal, sys
class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
module = sys.argv.pop(1)
from coral_classify.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["typing", "coral_classify.cli", "argparse", "coral_classify.cli.classify", "numpy",
                                    "numpy.linalg", "PIL.Image", "coral_classify.classifier",
                                    "coral_classify.engine.runtime"])
def test_ctrl_c_while_anything_is_loaded_is_one_line(green, any_engine, module):
    done = subprocess.run([sys.executable, "-S", "-c", "import site; site.main()\n" + INTERRUPTED, module, str(green)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    if done.returncode == 0:
        pytest.skip("%s was loaded before, or is not loaded" % module)
    lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("INFO")]
    assert (done.returncode, lines) == (130, ["coral-classify: interrupted"])


def test_the_command_starts_where_ctrl_c_is_told_first():
    text = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    assert '"coral-classify=coral_classify.__main__:main"' in text
