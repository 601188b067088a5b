from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tflite_writer import colours

from coral_classify.errors import ModelError
from coral_classify.modelfiles.modelfile import compiled_path, read_model, twin_path
from coral_classify.types import Quantization

LABELS = ["red", "green", "blue"]


@pytest.fixture
def write(tmp_path):
    def write(content, name="model.tflite"):
        path = tmp_path / name
        path.write_bytes(content)
        return path
    return write


@pytest.mark.parametrize("dtype, scale, zero_point", [
    ("uint8", 0.0125, 131), ("int8", 0.5, -128), ("float32", 0.0, 0)])
def test_shape_dtype_and_quantization_are_read(write, dtype, scale, zero_point):
    model = read_model(write(colours(size=(6, 4), dtype=dtype, scale=scale, zero_point=zero_point)))
    assert model.input.shape == (1, 4, 6, 3)
    assert model.output.shape == (1, 3)
    assert model.input.dtype == np.dtype(dtype)
    assert model.input.quantization == Quantization(float(np.float32(scale)), zero_point)
    assert not model.compiled
    assert model.labels is None and model.normalization is None


def test_the_custom_op_of_the_compiler_is_seen(write):
    assert read_model(write(colours(compiled=True))).compiled


def test_labels_and_normalization_of_the_metadata_are_read(write):
    model = read_model(write(colours(labels=LABELS, normalization=([127.5], [127.5]))))
    assert model.labels == tuple(LABELS)
    assert model.normalization == ((127.5,), (127.5,))


@pytest.mark.parametrize("means, stds", [
    ([float("nan")], [1.0]), ([float("inf")], [1.0]), ([0.0], [float("inf")]), ([0.0], [0.0])])
def test_a_normalization_that_cannot_be_is_not_taken_from_the_metadata(write, means, stds):
    assert read_model(write(colours(normalization=(means, stds)))).normalization is None


@pytest.mark.parametrize("content, message", [
    (b"", "the file is empty"),
    (b"hello, this is a text", "not a TFLite model"),
    (colours(inputs=2), "2 inputs and 1 outputs"),
    (colours(channels=1), r"shape \(1, 8, 8, 1\)"),
    (colours(dtype="int32"), "int32"),
    (b"\x20\0\0\0TFL3", "truncated or damaged"),
])
def test_a_file_that_is_no_classifier_says_why(write, content, message):
    with pytest.raises(ModelError, match=message) as caught:
        read_model(write(content, "odd.tflite"))
    assert "odd.tflite" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="nothing.tflite: no such file"):
        read_model(tmp_path / "nothing.tflite")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="is a folder; give a file"):
        read_model(tmp_path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_gives_a_model_error_or_a_model_and_nothing_else(write, data):
    content = bytearray(colours(labels=LABELS, normalization=([0.0], [1.0])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[:data.draw(st.integers(1, len(content)))]
    try:
        read_model(write(bytes(content)))
    except ModelError:
        pass


def test_twin_and_compiled_names(tmp_path):
    assert twin_path(tmp_path / "a_edgetpu.tflite") == tmp_path / "a.tflite"
    assert compiled_path(tmp_path / "a.tflite") == tmp_path / "a_edgetpu.tflite"


def test_the_published_files_are_read(testdata):
    model = read_model(testdata / "models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite")
    assert model.compiled
    assert model.input.shape == (1, 128, 128, 3)
    assert model.input.quantization == Quantization(1 / 128, 128)
    assert model.output.shape == (1, 1001)
    assert model.labels is not None and model.labels[286] == "Egyptian cat"
