"""What libcoral's own tests expect of the published files, on the CPU, under each engine.

Source: google-coral/libcoral, coral/classification/models_test.cc; facts of the published test data.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from coral_classify import Classifier


@pytest.mark.parametrize("name, picture, class_id, at_least", [
    ("mobilenet_v1_0.25_128_quant", "cat.bmp", 283, 0.25),
    ("mobilenet_v1_0.5_160_quant", "cat.bmp", 286, 0.51),
    ("mobilenet_v2_1.0_224_quant", "cat.bmp", 286, 0.7),
    ("mobilenet_v2_1.0_224_inat_bird_quant", "bird.bmp", 659, 0.5),
    ("mobilenet_v2_1.0_224_quant", "parrot.jpg", 89, 0.9),
])
def test_reference_scores(testdata, engine, name, picture, class_id, at_least):
    with Classifier(testdata / "models" / (name + ".tflite"), device="cpu", engine=engine) as classifier:
        best = classifier.classify(testdata / "images" / picture).predictions[0]
    assert best.class_id == class_id and best.score >= at_least


def test_a_compiled_file_answers_through_its_twin(testdata, engine, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "no-such-libedgetpu.so")
    done = subprocess.run(
        [sys.executable, "-m", "coral_classify", str(testdata / "images" / "cat.bmp"), "--json", "--engine", engine,
         "--model", str(testdata / "models" / "mobilenet_v1_0.5_160_quant_edgetpu.tflite")],
        stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(REPOSITORY)), check=True)
    record = json.loads(done.stdout.decode("utf-8"))
    assert record["predictions"][0]["label"] == "Egyptian cat" and record["device"] == "cpu"
    assert "mobilenet_v1_0.5_160_quant.tflite is the CPU twin" in record["device_reason"]
