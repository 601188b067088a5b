"""Following a folder, and measuring."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from PIL import Image
from worker_tools import wait_until

from coral_classify.cli import main


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT for another process")
def test_watch_classifies_what_arrives_once_it_is_whole(model, any_engine, tmp_path):
    incoming, out = tmp_path / "incoming", tmp_path / "o.jsonl"
    incoming.mkdir()
    Image.new("RGB", (16, 16), (0, 200, 0)).save(str(incoming / "first.png"))
    content = (incoming / "first.png").read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "coral_classify", "watch", str(incoming), "--jsonl", str(out), "--model", str(model),
         "--device", "cpu", "--interval", "0.8"], env=dict(os.environ, PYTHONPATH=str(REPOSITORY)),
        stderr=subprocess.PIPE)

    def names():
        return [os.path.basename(json.loads(line)["image"]) for line in out.read_text().splitlines()] \
            if out.exists() else []
    try:
        assert wait_until(lambda: names() == ["first.png"])
        with open(str(incoming / "slow.png"), "wb") as file:
            for start in range(0, len(content), 16):    # grows between any two looks
                file.write(content[start:start + 16])
                file.flush()
                wait_until(lambda: False, 0.05)
            assert "slow.png" not in names()
        (incoming / "text.txt").write_text("no picture")
        (incoming / "broken.png").write_bytes(b"broken")
        assert wait_until(lambda: sorted(names()) == ["broken.png", "first.png", "slow.png"])
    finally:
        process.send_signal(signal.SIGINT)
        try:
            err = process.communicate(timeout=30)[1].decode()
        finally:
            process.kill()
    assert process.returncode == 1 and "2 classified, 1 failed" in err and "Traceback" not in err
    assert [json.loads(line)["error"] is None for line in out.read_text().splitlines()].count(False) == 1


@pytest.mark.parametrize("arguments, message", [
    (["watch", "/no/such/folder"], "no such folder"), (["watch", ".", "--interval", "0"], "must be positive"),
    (["bench", "--count", "0"], "at least 1")])
def test_wrong_usage(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_bench_measures_every_stage(any_engine, capsys):
    assert main(["bench", "--count", "3", "--device", "cpu", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["device"] == "cpu" and record["stream_pictures_per_s"] > 0 and record["cold_start_ms"] > 0
    for stage in ("preprocess_ms", "inference_ms", "decode_ms", "whole_ms"):
        assert set(record[stage]) == {"median", "p90", "p99", "worst"}
        assert record[stage]["median"] <= record[stage]["worst"]
    assert main(["bench", "--count", "2", "--picture", str(REPOSITORY / "examples" / "chelsea.png")]) == 0
    out = capsys.readouterr().out
    assert "cold start" in out and "pictures/s" in out
