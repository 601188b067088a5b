from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))


def run(example, *arguments):
    return subprocess.run([sys.executable, str(REPOSITORY / "examples" / example)] + [str(a) for a in arguments],
                          stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(REPOSITORY)), check=True,
                          universal_newlines=True).stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_at_most_30_lines(example):
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 30


def test_one_picture(model, green, any_engine):
    lines = run("one_picture.py", model, green).splitlines()
    assert lines[0].split() == ["green", "0.784"]
    assert lines[-1].startswith("on cpu because")


def test_camera_loop(model, any_engine):
    assert run("camera_loop.py", model).startswith("frame 0: ")


def test_live_camera(model, any_engine):
    assert " ms old" in run("live_camera.py", "test", "0.1", model).splitlines()[0]


def test_many_pictures(model, green, any_engine):
    lines = run("many_pictures.py", model, green, "none.png", green).splitlines()
    assert lines == ["image none.png: no such file", "2 x green"]


def test_threaded_app(model, green, any_engine):
    lines = run("threaded_app.py", model, green, "none.png", green).splitlines()
    assert lines == ["%s: green (0.78)" % green, "image none.png: no such file", "%s: green (0.78)" % green]


def test_pulled_stick(any_engine):
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", str(REPOSITORY / "examples" / "test_pulled_stick.py")],
                          stdout=subprocess.PIPE, universal_newlines=True, cwd=str(REPOSITORY))
    assert "1 passed" in done.stdout or "no C compiler" in done.stdout, done.stdout


def test_the_cat_is_a_cat(testdata, any_engine):
    model = testdata / "models" / "mobilenet_v2_1.0_224_quant.tflite"
    assert "cat" in run("one_picture.py", model, REPOSITORY / "examples" / "chelsea.png").splitlines()[0]


def test_teach_mugs(any_engine, tmp_path):
    if not (REPOSITORY / "models" / "everyday_objects.tflite").is_file():
        pytest.skip("the package's own model was left out")
    turn = np.random.RandomState(0)
    for name, colour in (("blue mug", (40, 80, 200)), ("red mug", (200, 40, 50)), ("white mug", (230, 230, 225))):
        (tmp_path / "mugs" / name).mkdir(parents=True)
        for i in range(10):
            picture = Image.new("RGB", (200, 150), (120, 100, 80))
            left, top = (int(n) for n in turn.randint(10, 60, 2))
            picture.paste(colour, (left, top, left + 80, top + 70))
            picture.save(str(tmp_path / "mugs" / name / ("%d.jpg" % i)))
    lines = run("teach_mugs.py", tmp_path / "mugs", tmp_path / "mugs.tflite",
                tmp_path / "mugs" / "red mug" / "3.jpg").splitlines()
    assert lines[0] == "blue mug: 10 pictures" and lines[3].startswith("expected to be right: ")
    assert lines[-1].startswith("red mug (")
