"""A model with another end: what stands in it, and that every engine takes it."""
from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from tflite_writer import colours

from coral_classify.engine import open_session
from coral_classify.errors import ModelError
from coral_classify.modelfiles.archive import attach, split
from coral_classify.modelfiles.graph import constant, read_graph
from coral_classify.modelfiles.inspector import inspect
from coral_classify.modelfiles.metadata import LABEL_FILE, METADATA, classifier_metadata, label_file
from coral_classify.modelfiles.modelfile import read_model
from coral_classify.modelfiles.writer import Constant, Layer, rewrite
from coral_classify.types import Quantization, TensorSpec

LOWEST = {"uint8": 0, "int8": -128, "float32": 0}


def head(dtype, classes=3, features=3):
    """Unit length, then each feature with a weight of its own, then softmax; feature k speaks for class k."""
    zero = 128 if dtype == "uint8" else 0
    real = dtype == "float32"

    def spec(shape, scale, zero_point):
        return TensorSpec(shape, np.dtype(dtype), Quantization(0.0, 0) if real else Quantization(scale, zero_point))

    weights = np.eye(classes, features)
    stored = weights.astype(np.float32) * 10 if real else (weights * 100 + zero).astype(dtype)
    bias = np.zeros(classes, np.float32 if real else np.int32)
    scales = ((), ()) if real else ((0.1,), (0.1 / 128,))
    return [
        Layer("L2_NORMALIZATION", spec((1, 1, 1, features), 1 / 128, zero), name="unit"),
        Layer("FULLY_CONNECTED", spec((1, classes), 0.1, zero), (
            Constant(stored, scales[0], () if real else (zero,), "weights"),
            Constant(bias, scales[1], () if real else (0,), "bias")), "logits"),
        Layer("SOFTMAX", spec((1, classes), 1 / 256, LOWEST[dtype]), name="scores")]


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def run(path, pixels, engine):
    model = read_model(path)
    with open_session(model, engine=engine, threads=1) as session:
        output = session.run(pixels.reshape(model.input.shape)).astype(float)
    scale, zero_point = model.output.quantization
    return (output - zero_point) * scale if scale else output


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_appended_operators_compute_what_they_should(dtype, engine, tmp_path):
    scale, zero_point = (0.0, 0) if dtype == "float32" else (1 / 255, LOWEST[dtype])
    old = colours(dtype=dtype, scale=scale, zero_point=zero_point, labels=["red", "green", "blue"])
    path = tmp_path / "new.tflite"
    path.write_bytes(rewrite(old, layers=head(dtype), description="mine"))
    stored = np.array([30, 60, 90]) + (-128 if dtype == "int8" else 0)
    pixels = np.tile(stored.astype(dtype), (8, 8, 1))
    unit = np.array([30, 60, 90]) / np.linalg.norm([30, 60, 90])
    assert np.abs(run(path, pixels, engine) - softmax(10 * unit)).max() < (1e-4 if dtype == "float32" else 0.02)


def test_the_old_file_stands_in_the_new_one_at_a_multiple_of_16():
    old = colours(compiled=True)
    new = rewrite(old, layers=head("uint8"))
    assert new.endswith(old) and (len(new) - len(old)) % 16 == 0
    assert [operator.kind for operator in read_graph(new).operators] == [
        "edgetpu-custom-op", "L2_NORMALIZATION", "FULLY_CONNECTED", "SOFTMAX"]


def test_rewriting_can_be_repeated():
    once = rewrite(colours(), layers=head("uint8"))
    twice = rewrite(once, output=1, layers=head("uint8")[:1])
    assert [operator.kind for operator in read_graph(twice).operators] == ["AVERAGE_POOL_2D", "L2_NORMALIZATION"]


def test_an_inner_tensor_becomes_the_output(engine, tmp_path):
    whole = rewrite(colours(), layers=head("uint8"))
    path = tmp_path / "inner.tflite"
    path.write_bytes(rewrite(whole, output=1))
    pixels = np.tile(np.array([30, 60, 90], np.uint8), (8, 8, 1))
    assert (run(path, pixels, engine) * 255).round().tolist() == [[30, 60, 90]]
    report = inspect(path)
    assert report.operators == {"AVERAGE_POOL_2D": 1} and report.parameters == 0


def test_weights_can_be_read_back():
    new = rewrite(colours(), layers=head("uint8"))
    graph = read_graph(new)
    weights = graph.tensors[graph.operators[2].inputs[1]]
    assert weights.name == "weights" and weights.scales == pytest.approx((0.1,)) and weights.zero_points == (128,)
    assert (constant(new, weights) == np.eye(3) * 100 + 128).all()
    assert graph.producer(graph.outputs[0]).kind == "SOFTMAX" and graph.producer(graph.inputs[0]) is None


def test_labels_and_normalization_travel_inside(tmp_path):
    told = classifier_metadata("mugs", "Three mugs.", pixels=([127], [128]), stored=(0, 255))
    path = tmp_path / "mugs.tflite"
    path.write_bytes(rewrite(colours(labels=["red", "green", "blue"]), layers=head("uint8"), metadata={METADATA: told},
                             files={LABEL_FILE: label_file(["red mug", "grüner Becher", "3 blue"])}))
    model = read_model(path)
    assert model.labels == ("red mug", "grüner Becher", "3 blue")
    assert model.normalization == ((127.0,), (128.0,))
    # As a TFLite metadata reader sees it: a zip whose offsets count from the file's first byte.
    with zipfile.ZipFile(str(path)) as archive:
        assert archive.getinfo(LABEL_FILE).compress_type == zipfile.ZIP_STORED
        assert path.read_bytes()[archive.getinfo(LABEL_FILE).header_offset:].startswith(b"PK\3\4")


def test_metadata_of_another_output_is_dropped_and_kept_where_nothing_changes(tmp_path):
    old = colours(labels=["red", "green", "blue"], normalization=([127.0], [128.0]))
    path = tmp_path / "model.tflite"
    path.write_bytes(rewrite(old, description="the same"))
    assert read_model(path)[4:6] == (("red", "green", "blue"), ((127.0,), (128.0,)))
    path.write_bytes(rewrite(old, layers=head("uint8")))
    assert read_model(path)[4:6] == (None, None)


def test_files_behind_a_model_are_split_off_and_attached():
    content = attach(b"model", {"a.txt": b"1", "b.txt": b"2"})
    assert split(content) == (b"model", {"a.txt": b"1", "b.txt": b"2"})
    assert attach(b"model", {"a.txt": b"1", "b.txt": b"2"}) == content, "the same bytes every time"
    assert split(b"model") == (b"model", {}) and attach(b"model", {}) == b"model"
    # Behind a new head the offsets of an old zip are wrong by its length; they are set right.
    with zipfile.ZipFile(io.BytesIO(rewrite(colours(labels=["a", "b", "c"]), description="x"))) as archive:
        assert archive.read("labels.txt") == b"a\nb\nc\n"


@pytest.mark.parametrize("arguments, message", [
    ({"output": 7}, "tensor 7 is not in the model"),
    ({"layers": [Layer("LSTM", TensorSpec((1, 3), np.dtype("uint8"), Quantization(1.0, 0)))]}, "LSTM on uint8"),
])
def test_what_cannot_be_written_is_said(arguments, message):
    with pytest.raises(ModelError, match=message):
        rewrite(colours(), **arguments)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_damaged_model_is_refused(cut):
    content = colours()
    with pytest.raises(ModelError):
        rewrite(content[:int(cut * len(content))], layers=head("uint8"))


@pytest.mark.parametrize("name, output", [("mobilenet_v1_1.0_224_quant_embedding_extractor", None),
                                          ("mobilenet_v2_1.0_224_quant", 169)])
def test_real_networks_take_a_head(testdata, engine, tmp_path, name, output):
    content = (testdata / "models" / (name + ".tflite")).read_bytes()
    graph = read_graph(content)
    features = graph.tensors[graph.outputs[0] if output is None else output].shape[-1]
    path = tmp_path / "headed.tflite"
    path.write_bytes(rewrite(content, output=output, layers=head("uint8", features=features)))
    pixels = np.random.RandomState(0).randint(0, 256, (224, 224, 3)).astype(np.uint8)
    assert run(path, pixels, engine).sum() == pytest.approx(1, abs=0.02)
    assert split(content)[0] in path.read_bytes()
    compiled = testdata / "models" / (name + "_edgetpu.tflite")
    if compiled.is_file():
        path.write_bytes(rewrite(compiled.read_bytes(), layers=head("uint8", features=features)))
        assert list(inspect(path).operators) == ["edgetpu-custom-op", "L2_NORMALIZATION", "FULLY_CONNECTED", "SOFTMAX"]
        assert compiled.read_bytes() in path.read_bytes()
