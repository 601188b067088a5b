"""The embedded model: what is in the file, what its passport and card say, and that it answers."""
from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from coral_classify import Classifier
from coral_classify.modelfiles.flatbuffer import root
from coral_classify.modelfiles.modelfile import read_model
from coral_classify.modelfiles.passports import git_blob_id
from coral_classify.pictures.normalization import choose

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "models" / "everyday_objects.tflite"
TRAINING = REPOSITORY / "models" / "training"
# BuiltinOperator of the TFLite schema; the kinds that the official EfficientNet-EdgeTPU-S has, all of which the
# Edge TPU compiler maps.
ADD, CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, SOFTMAX = 0, 3, 4, 9, 25
AVERAGE_POOL_2D, RESHAPE, MEAN = 1, 22, 40
MAPPED = {ADD, AVERAGE_POOL_2D, CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, RESHAPE, SOFTMAX, MEAN}
INT8, UINT8, QUANTIZE, INT32 = 9, 3, 114, 2


@pytest.fixture(scope="module")
def passport():
    return json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))


def graph():
    model = root(MODEL.read_bytes(), b"TFL3")
    codes = [max(code.scalar(0, "int8"), code.scalar(3, "int32")) for code in model.tables(1)]
    (only,) = model.tables(2)
    return codes, only


def test_the_file_is_small():
    assert MODEL.stat().st_size <= 3_000_000


def test_only_operators_that_the_compiler_maps():
    codes, only = graph()
    used = [codes[operator.scalar(0, "uint32")] for operator in only.tables(3)]
    assert used[0] == used[-1] == QUANTIZE      # uint8 of the outside to int8 of the inside and back
    assert set(used[1:-1]) <= MAPPED
    assert used.count(SOFTMAX) == 1 and used[-2] == SOFTMAX


def test_every_tensor_is_an_integer():
    _, only = graph()
    assert {tensor.scalar(1, "int8") for tensor in only.tables(0)} <= {INT8, UINT8, INT32}


def test_uint8_and_pixels_pass_unchanged():
    model = read_model(MODEL)
    assert model.input.dtype == model.output.dtype == "uint8"
    assert choose(model.input, metadata=model.normalization).unchanged
    assert choose(model.input).unchanged


def test_labels_of_metadata_and_file_agree(passport):
    labels = (REPOSITORY / "labels" / passport["labels"]).read_text(encoding="utf-8").splitlines()
    model = read_model(MODEL)
    assert list(model.labels) == labels
    assert len(labels) == len(set(labels)) == passport["classes"] == model.output.shape[1]
    assert set(passport["sure"]["unsure_labels"]) <= set(labels)


def test_passport_describes_the_file(passport):
    assert passport["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert passport["git_blob"] == git_blob_id(MODEL)
    assert passport["size"] == MODEL.stat().st_size
    assert passport["input"] == list(read_model(MODEL).input.shape[1:3])


def test_the_promises_hold_on_validation(passport):
    figures = passport["accuracy"]
    assert figures["top1"] >= 0.71 and figures["top5"] >= 0.92
    assert figures["sure"] >= 0.30 and figures["sure_precision"] >= 0.98
    assert figures["sure_of_other"] <= 0.03 and figures["sure_of_unseen_judged"] <= 0.03


def test_card_repeats_the_passport(passport):
    card = (REPOSITORY / "models" / "README.md").read_text(encoding="utf-8")
    for name, value in passport["accuracy"].items():
        assert "| %s | %s |" % (name.replace("_", " "), value) in card


def test_cats_and_dogs_are_never_surely_something_else():
    card = (REPOSITORY / "models" / "README.md").read_text(encoding="utf-8")
    for name in ("cat", "dog"):
        (row,) = [line for line in card.splitlines() if line.startswith("| %s |" % name) and line.count("|") == 6]
        assert row.endswith(" 0.00 |")


def test_mapping_covers_the_labels(passport):
    lines = (TRAINING / "classes.csv").read_text(encoding="utf-8").splitlines()[1:]
    mapped = {line.split(",", 1)[1].strip('"') for line in lines}
    assert mapped == set(read_model(MODEL).labels)


def test_a_cat_is_a_cat(any_engine):
    with Classifier(MODEL, device="cpu") as classifier:
        result = classifier.classify((REPOSITORY / "examples" / "chelsea.png").read_bytes(), top_k=3)
    assert result.predictions[0].label == "cat"
    assert result.predictions[0].score > 0.3


@pytest.mark.parametrize("variant, millions", [("s", 5.4), ("m", 6.9), ("l", 10.6)])
def test_published_parameter_counts(variant, millions):
    pytest.importorskip("torch", reason="the training framework is not installed")
    script = ("from network import *; print(sum(p.numel() for p in "
              "EfficientNetEdgeTpu(VARIANTS[%r], 1001).parameters()))" % variant)
    count = int(subprocess.check_output([sys.executable, "-c", script], cwd=str(TRAINING)))
    assert count / 1e6 == pytest.approx(millions, abs=0.06)
