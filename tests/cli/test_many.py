"""Folders, lists, archives; results to files; a run that is killed and goes on."""
from __future__ import annotations

import csv
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coral_classify.cli import main
from coral_classify.cli.output import _folder_name, _whole_rows
from coral_classify.cli.sources import expand

COUNT = int(os.environ.get("CORAL_CLASSIFY_PICTURES", "300"))
KILLS = int(os.environ.get("CORAL_CLASSIFY_KILLS", "6"))


def picture(path, colour=(0, 200, 100)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Five entries: two pictures, one below, one broken, and a file that is none."""
    root = tmp_path / "photos"
    picture(root / "a.png", (200, 0, 0))
    picture(root / "b, \"quoted\".png", (0, 200, 0))
    picture(root / "below" / "c.png", (0, 0, 200))
    (root / "d.jpg").write_bytes(b"no picture")
    (root / "notes.txt").write_text("no picture, and not taken for one")
    picture(root / ".hidden.png")
    return root


@pytest.fixture
def classify(model, any_engine, capsys):
    def classify(*arguments):
        code = main([str(a) for a in arguments] + ["--model", str(model), "--device", "cpu"])
        printed = capsys.readouterr()
        lines = [line for line in printed.err.splitlines() if not line.startswith("INFO")]
        return code, printed.out, lines
    return classify


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def named(text):
    return [os.path.basename(record["image"]) for record in records(text)]


def best(record):
    return record["predictions"][0]["label"]


def test_a_folder(classify, folder):
    code, out, err = classify(folder, "--json")
    assert code == 1 and named(out) == ["a.png", "b, \"quoted\".png", "d.jpg"]
    assert [r["error"] is None for r in records(out)] == [True, True, False]
    assert len(err) == 2 and "d.jpg: not a picture" in err[0]
    assert err[1].startswith("coral-classify: 2 classified, 1 failed, 0 skipped in ")
    assert "pictures/s" in err[1] and "% preparing" in err[1] and "device cpu (2)" in err[1]


def test_a_folder_with_its_folders(classify, folder):
    assert named(classify(folder, "--recursive", "--json")[1]) == ["a.png", "b, \"quoted\".png", "c.png", "d.jpg"]


@pytest.mark.parametrize("arguments, message", [
    (["{empty}"], "empty: holds no pictures; --recursive looks into its folders"),
    (["{none}/*.png"], "no file matches"),
    (["@{none}"], "list"), (["{bad}"], "cannot be read")])
def test_arguments_without_pictures_are_one_line_each(classify, folder, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    places = {"{empty}": tmp_path / "empty", "{none}": tmp_path / "none", "{bad}": tmp_path / "bad.zip"}
    said = arguments[0]
    for mark, path in places.items():
        said = said.replace(mark, str(path))
    code, out, err = classify(said, folder / "a.png", "--json")
    assert code == 1 and len(records(out)) == 2 and best(records(out)[1]) == "red"
    assert message in err[0] and message in records(out)[0]["error"]


def test_globs_and_lists(classify, folder, tmp_path):
    assert named(classify(folder / "*.png", "--json")[1]) == ["a.png", "b, \"quoted\".png"]
    names = tmp_path / "list.txt"
    names.write_text("%s\r\n\n%s\n" % (folder / "below", folder / "a.png"))
    assert named(classify("@%s" % names, "--json")[1]) == ["c.png", "a.png"]


class Stdin:
    def __init__(self, content):
        self.buffer = io.BufferedReader(io.BytesIO(content))


def test_names_and_pictures_on_standard_input(classify, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(("%s\n%s\n" % (folder / "a.png", folder / "below" / "c.png")).encode()))
    assert named(classify("-", "--json")[1]) == ["a.png", "c.png"]
    monkeypatch.setattr(sys, "stdin", Stdin((folder / "a.png").read_bytes()))
    assert best(records(classify("-", "--json")[1])[0]) == "red"


@pytest.mark.skipif(os.name != "posix", reason="needs select on pipes")
def test_whoever_writes_names_may_wait_for_each_answer(model, any_engine, folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "coral_classify", "-", "--json", "--model", str(model), "--device", "cpu"],
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL)
    for name in ("a.png", "below/c.png", "d.jpg", "a.png"):
        process.stdin.write(os.fsencode(str(folder / name)) + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline().decode())["image"] == str(folder / name)
    process.stdin.write(os.fsencode(str(folder / "a.png")))     # without a line's end
    rest = process.communicate(timeout=60)[0]
    assert named(rest.decode()) == ["a.png"] and process.returncode == 1


def test_several_devices_by_name_and_all(pair, any_engine, simulated_library, folder, monkeypatch, capsys):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    monkeypatch.setenv("SIM_DEVICES", "usb,usb")
    for device, wanted in ("all", {"usb:0", "usb:1"}), ("usb:0,cpu", {"usb:0", "cpu"}):
        code = main([str(folder)] * 40 + ["--model", str(pair), "--device", device, "--json", "--decoders", "1"])
        out = capsys.readouterr().out
        assert code == 1 and {record["device"] for record in records(out) if not record["error"]} <= wanted
        assert named(out) == ["a.png", "b, \"quoted\".png", "d.jpg"] * 40
    monkeypatch.setenv("SIM_DEVICES", "")
    assert main([str(folder / "a.png"), "--model", str(pair), "--device", "all"]) == 0
    assert "device: cpu (no Edge TPU could be used; colours.tflite is the CPU twin" in capsys.readouterr().out
    assert main([str(folder / "a.png"), "--model", str(pair), "--device", "usb:0,nonsense"]) == 2
    assert main([str(folder / "a.png"), "--model", str(pair), "--device", "cpu", "--decoders", "0"]) == 2
    assert "--decoders must be at least 1" in capsys.readouterr().err


def test_a_picture_that_a_lost_device_leaves_unanswered_is_named(
        pair, any_engine, simulated_library, folder, monkeypatch, capsys):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    monkeypatch.setenv("SIM_FAULTS", "abort:*")
    pair.with_name("colours.tflite").unlink()
    monkeypatch.chdir(folder)
    (folder / "a.png").rename(folder / "a")     # a letter of the error's, too
    names = ["a", str(folder / "below" / "c.png")]
    assert main(names + ["--model", str(pair), "--device", "usb"]) == 1
    err = capsys.readouterr().err
    assert all("coral-classify: image %s: " % name in err for name in names), err


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives(classify, folder, tmp_path, kind):
    path = tmp_path / ("photos." + kind)
    if kind == "zip":
        with zipfile.ZipFile(str(path), "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(str(file), str(file.relative_to(folder)))
    else:
        with tarfile.open(str(path), "w:gz" if kind == "tar.gz" else "w") as archive:
            for file in sorted(folder.rglob("*.*")):
                archive.add(str(file), str(file.relative_to(folder)), recursive=False)
    code, out, err = classify(path, "--json")
    assert code == 1
    assert [r["image"] for r in records(out)] == ["%s!%s" % (path, name) for name in (
        "a.png", "b, \"quoted\".png", "below/c.png", "d.jpg")]
    assert [best(r) for r in records(out)[:3]] == ["red", "green", "blue"]


def test_a_torn_archive_gives_what_it_holds(classify, folder, tmp_path):
    path = tmp_path / "photos.tar"
    with tarfile.open(str(path), "w") as archive:
        archive.add(str(folder / "a.png"), "a.png")
        archive.add(str(folder / "a.png"), "b.png")
    with tarfile.open(str(path)) as archive:
        cut = archive.getmember("b.png").offset_data + 20
    path.write_bytes(path.read_bytes()[:cut])
    code, out, err = classify(path, "--json")
    assert code == 1 and best(records(out)[0]) == "red" and "unexpected end of data" in err[0]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_damaged_archive_ends_no_run(classify, folder, tmp_path, kind):
    (folder / "notes.txt").write_text(" ".join(str(n * n) for n in range(100000)))     # can be compressed
    path = tmp_path / ("photos.tar." + kind)
    with tarfile.open(str(path), "w:" + kind) as archive:
        for name in ("notes.txt", "a.png"):
            archive.add(str(folder / name), name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2:len(content) // 2 + 40] = b"\xff" * 40
    path.write_bytes(bytes(content))
    code, out, err = classify(path, folder / "a.png", "--json")
    assert code == 1 and best(records(out)[-1]) == "red" and "photos.tar" in err[0]


def test_a_binary_file_is_no_list_of_names(classify, folder, tmp_path):
    code, out, err = classify("@%s" % (folder / "a.png"), folder / "a.png", "--json")
    assert code == 1 and best(records(out)[1]) == "red" and "holds no names, one per line" in err[0]
    names = tmp_path / "names.txt"
    names.write_bytes(b"%s\n" % os.fsencode(str(folder / "a.png")) * 1000 + b"a\0b\n")
    code, out, err = classify("@%s" % names, "--json")
    assert code == 1 and len(records(out)) == 1001 and "coral-classify: a: is no file name" in err[0]


@pytest.mark.parametrize("other", ["x.out", "./x.out", "-"])
def test_two_kinds_of_records_do_not_get_into_one_file(classify, folder, tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    code, out, err = classify(folder / "a.png", "--csv", "x.out" if other != "-" else "-", "--jsonl", other)
    assert code == 2 and "cannot hold JSON lines and CSV" in err[0] and not (tmp_path / "x.out").exists()


def test_a_folder_that_cannot_be_looked_into_is_told(classify, folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("below"):
            raise PermissionError(13, "Permission denied")
        return scan(path)
    monkeypatch.setattr(os, "scandir", refuse)
    code, out, err = classify(folder, "--recursive", "--json")
    assert code == 1 and named(out) == ["a.png", "b, \"quoted\".png", "d.jpg", "below"]
    assert "below: cannot be read: Permission denied" in err[-2]
    assert "below: cannot be read" in classify(folder / "below")[2][0]


def test_a_member_that_is_too_large_is_not_unpacked(classify, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("coral_classify.cli.archives.HELD_BYTES", 10)
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(str(path), "w") as archive:
        archive.write(str(folder / "a.png"), "a.png")
    assert "at most 10 are read" in classify(path)[2][0]


ODD = ["new\nline.png", "comma, quote\" .png", "ünïcode.png", b"caf\xe9.png", "=formula.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system of bytes")
def test_odd_names_survive_in_both_files(classify, tmp_path):
    root = tmp_path / "odd"
    source = picture(tmp_path / "x.png").read_bytes()
    root.mkdir()
    names = [os.fsdecode(name) if isinstance(name, bytes) else name for name in ODD]
    for name in names:
        (root / name).write_bytes(source)
    assert classify(root, "--jsonl", tmp_path / "o.jsonl", "--csv", tmp_path / "o.csv")[0] == 0
    wanted = sorted(str(root / name) for name in names)
    assert sorted(r["image"] for r in records((tmp_path / "o.jsonl").read_text())) == wanted
    with open(str(tmp_path / "o.csv"), encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:7] == ["image", "device", "sure", "error", "class_id_1", "label_1", "score_1"]
    assert sorted(row[0] for row in rows[1:]) == wanted
    assert all(row[5] == "green" for row in rows[1:])
    # All of it is done: nothing is classified again.
    code, out, err = classify(root, "--jsonl", tmp_path / "o.jsonl", "--csv", tmp_path / "o.csv", "--resume")
    assert "0 classified, 0 failed, 5 skipped" in err[-1]


def test_the_columns_are_for_the_classes_that_there_are(classify, folder, tmp_path):
    assert classify(folder / "a.png", "--csv", tmp_path / "o.csv", "--top-k", 10 ** 9)[0] == 0
    header, row = (tmp_path / "o.csv").read_text().splitlines()
    assert header.endswith(",score_3") and header.count(",") == row.count(",")


def test_a_file_that_is_there_is_not_overwritten(classify, folder, tmp_path):
    (tmp_path / "o.jsonl").write_text("precious\n")
    for extra, message in ([], "is there already; --resume"), (["--resume"], "line 1 is no result of ours"):
        code, out, err = classify(folder, "--jsonl", tmp_path / "o.jsonl", *extra)
        assert code == 2 and message in err[0]
    (tmp_path / "o.csv").write_text("precious\n")
    code, out, err = classify(folder, "--csv", tmp_path / "o.csv", "--resume")
    assert code == 2 and "is no file of ours" in err[0]
    assert (tmp_path / "o.jsonl").read_text() == (tmp_path / "o.csv").read_text() == "precious\n"


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_torn_last_record_is_dropped_and_made_again(classify, folder, tmp_path, cut):
    jsonl, table = tmp_path / "o.jsonl", tmp_path / "o.csv"
    classify(folder, "--jsonl", jsonl, "--csv", table)
    whole = jsonl.read_bytes(), table.read_bytes()
    jsonl.write_bytes(whole[0][:-cut])
    table.write_bytes(whole[1][:-cut])
    code, out, err = classify(folder, "--jsonl", jsonl, "--csv", table, "--resume")
    assert table.read_bytes() == whole[1]
    assert named(jsonl.read_text()) == named(whole[0].decode())


@given(st.lists(st.lists(st.text(alphabet="a\",\n \r"), min_size=1, max_size=3), max_size=5), st.integers(0, 60))
def test_whole_rows_are_found_in_any_torn_table(rows, cut):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    whole = text.getvalue()
    torn = whole[:max(0, len(whole) - cut)]
    good = list(csv.reader(io.StringIO(torn[:_whole_rows(torn)], newline="")))
    assert good == list(csv.reader(io.StringIO(whole, newline="")))[:len(good)]
    if not cut:
        assert _whole_rows(whole) == len(whole)


def test_sorting_into_folders_changes_nothing_the_second_time(classify, folder, tmp_path):
    target = tmp_path / "sorted"
    picture(folder / "below" / "a.png", (200, 0, 1))       # another picture of the same name and class
    for _ in range(2):
        assert classify(folder, "--recursive", "--sort-into", target)[0] == 1
        assert sorted(str(p.relative_to(target)) for p in target.rglob("*.*")) == [
            "blue/c.png", "green/b, \"quoted\".png", "red/a (2).png", "red/a.png"]
    assert (target / "red" / "a.png").read_bytes() == (folder / "a.png").read_bytes()


def test_sorting_into_a_folder_of_the_folder_does_not_sort_the_copies(classify, folder):
    for _ in range(2):
        code, out, err = classify(folder, "--recursive", "--sort-into", folder / "sorted")
        assert code == 1 and "3 classified, 1 failed" in err[-1]


def test_sorting_by_links_and_unsure_ones_apart(classify, folder, tmp_path):
    target = tmp_path / "sorted"
    classify(folder, "--sort-into", target, "--link", "--threshold", "0.99")
    assert sorted(p.name for p in (target / "_unsure").iterdir()) == ["a.png", "b, \"quoted\".png"]
    assert (target / "_unsure" / "a.png").is_symlink()


@pytest.mark.parametrize("label, name", [
    ("cat", "cat"), ("../../etc", "_.._etc"), ("a/b", "a_b"), ("", "_"), ("..", "_"), ("_unsure", "__unsure"),
    ("x\x1b[2J", "x_[2J"), ("a" * 200, "a" * 80)])
def test_labels_make_safe_folder_names(label, name):
    assert _folder_name(label) == name


def test_a_disk_that_is_full_is_one_line(classify, folder, tmp_path, monkeypatch):
    def full(handle, data):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("coral_classify.cli.output.os.write", full)
    code, out, err = classify(folder, "--jsonl", tmp_path / "o.jsonl")
    assert code == 1 and "No space left on device; --resume goes on from here" in err[0]


def test_progress_only_at_a_terminal(classify, folder, monkeypatch):
    assert "it/s" not in "".join(classify(folder, "--progress", "--json")[2])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "/3" in "".join(classify(folder, "--progress", "--json")[2])


def test_a_folder_is_read_lazily(tmp_path):
    for number in range(5):
        picture(tmp_path / ("%d.png" % number))
    found = expand([str(tmp_path), "@" + str(tmp_path / "list-that-is-not-there")], False)
    assert os.path.basename(next(found)) == "0.png"


def test_killed_at_random_and_resumed_nothing_is_lost_or_doubled(model, any_engine, tmp_path):
    """With CORAL_CLASSIFY_PICTURES=10000 the proof in full; a small one otherwise."""
    root = tmp_path / "many"
    root.mkdir()
    sources = [picture(tmp_path / ("%d.png" % i), (50 * i, 200, 255 - 50 * i)).read_bytes() for i in range(5)]
    for number in range(COUNT):
        broken = number % 97 == 13
        (root / ("%05d.png" % number)).write_bytes(b"broken" if broken else sources[number % 5])
    command = [sys.executable, "-m", "coral_classify", str(root), "--model", str(model), "--device", "cpu",
               "--jsonl", str(tmp_path / "o.jsonl"), "--csv", str(tmp_path / "o.csv"), "--resume",
               "--sort-into", str(tmp_path / "sorted")]
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    for _ in range(KILLS):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.2, 0.6 + COUNT / 4000))
        process.kill()
        process.wait()
    last = subprocess.run(command, env=environment, stderr=subprocess.PIPE)
    assert last.returncode in (0, 1), last.stderr
    wanted = ["%05d.png" % number for number in range(COUNT)]
    found = records((tmp_path / "o.jsonl").read_text())
    assert [os.path.basename(record["image"]) for record in found] == wanted
    assert [record["error"] is None for record in found] == [number % 97 != 13 for number in range(COUNT)]
    with open(str(tmp_path / "o.csv"), newline="") as file:
        assert [os.path.basename(row[0]) for row in csv.reader(file)][1:] == wanted
    placed = sorted(path.name for path in (tmp_path / "sorted").rglob("*.png"))
    assert placed == [name for number, name in enumerate(wanted) if number % 97 != 13]


@pytest.mark.parametrize("link", [False, True])
def test_sorting_touches_no_part_of_the_user_s(classify, folder, tmp_path, link):
    target, victim = tmp_path / "sorted", tmp_path / "victim"
    victim.write_bytes(b"precious")
    picture = next(path for path in sorted(folder.glob("*.png")))
    (target / "green").mkdir(parents=True)
    for label in ("red", "green", "blue"):
        (target / label).mkdir(parents=True, exist_ok=True)
        (target / label / (picture.name + ".part")).write_bytes(b"the user's own")
        (target / label / ("." + picture.name + ".part")).symlink_to(victim)
        os.mkfifo(str(target / label / picture.name))
    assert classify(picture, "--sort-into", target, *(["--link"] if link else []))[0] == 0
    assert victim.read_bytes() == b"precious"
    for label in ("red", "green", "blue"):
        assert (target / label / (picture.name + ".part")).read_bytes() == b"the user's own"
    sorted_into = list(target.rglob("* (2).png"))
    assert len(sorted_into) == 1 and sorted_into[0].read_bytes() == picture.read_bytes()
    assert not [path for path in target.rglob("*") if "coral-classify" in path.name]
