"""The benchmark runs from end to end, and its report has its rows; benchmarks/README.md says what it measures."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

BENCHMARKS = REPOSITORY / "benchmarks"


@pytest.mark.skipif(os.name != "posix", reason="asks for the resources of child processes")
def test_the_benchmark_ends_and_says_which_goals_are_met(model, any_engine, tmp_path):
    picture, report = tmp_path / "drawn.jpg", tmp_path / "report.md"
    pixels = np.zeros((93, 51, 3), np.uint8)
    pixels[:] = (0, 200, 100)
    Image.fromarray(pixels).save(str(picture))
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "bench.py"), "--model", str(model), "--picture", str(picture),
         "--rounds", "1", "--pictures", "3", "--no-peers", "--output", str(report)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()
    text = report.read_text(encoding="utf-8")
    assert done.stdout.decode("utf-8").split() == text.split()
    for row in ("coral_classify", "coral_classify, one after the other", "the barest script",
                "PyCoral's documented way, same engine", "TF Task Library", "MediaPipe Tasks",
                "coral-classify", "stream, decoders=1", "stream, decoders=4", "stream, as it comes"):
        assert "\n| %s |" % row in text, row
    for column in ("sized array", "JPEG 51 × 93", "12-megapixel JPEG", "folder of 3 pictures"):
        assert column in text
    assert "All ways find the same best class." in text and "left out: not wanted" in text
    goals = text.split("## Goals")[1]
    assert goals.count("not measured") == 5     # three peers, two of them twice
    if shutil.which("cc") or shutil.which("gcc"):
        assert "## Several simulated accelerators" in text and "\n| 4 simulated accelerators" in goals
    else:
        assert "no C compiler" in text
    assert goals.count("| met |") + goals.count("| **missed** |") >= 9


def test_figures():
    assert subprocess.run([sys.executable, "-m", "doctest", str(BENCHMARKS / "figures.py")]).returncode == 0
