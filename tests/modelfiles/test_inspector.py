"""What the inspector reads from generated and real files, and that damaged ones give an error and nothing worse."""
from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tflite_writer import Numbers, Scalar, Table, colours, flatbuffer, tensor

from coral_classify.errors import ModelError
from coral_classify.modelfiles import latency
from coral_classify.modelfiles.inspector import inspect
from coral_classify.modelfiles.modelfile import read_model


def network(*, float_middle=False, second=14):
    """CONV_2D (8 filters of 3 x 3 x 3, on 8 x 8), then an operator; with constant weights."""
    weights = Numbers("uint8", [1] * (8 * 3 * 3 * 3))
    tensors = [tensor("image", (1, 8, 8, 3), "uint8", 0.5, 0), tensor("weights", (8, 3, 3, 3), "uint8", 0.5, 0, 1),
               tensor("middle", (1, 4, 4, 8), "float32" if float_middle else "uint8", 0.5, 0),
               tensor("scores", (1, 4, 4, 8), "uint8", 0.5, 0)]
    codes = [Table({0: Scalar("int8", min(n, 127)), 3: Scalar("int32", n)}) for n in (3, second)]
    steps = [Table({0: Scalar("uint32", 0), 1: Numbers("int32", [0, 1]), 2: Numbers("int32", [2])}),
             Table({0: Scalar("uint32", 1), 1: Numbers("int32", [2]), 2: Numbers("int32", [3])})]
    graph = Table({0: tensors, 1: Numbers("int32", [0]), 2: Numbers("int32", [3]), 3: steps})
    buffers = [Table({}), Table({0: weights})]
    return flatbuffer(Table({0: Scalar("uint32", 3), 1: codes, 2: [graph], 4: buffers}), b"TFL3")


def written(tmp_path, content):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    return path


def test_parameters_and_macs_are_counted(tmp_path):
    report = inspect(written(tmp_path, network()))
    assert report.operators == {"CONV_2D": 1, "LOGISTIC": 1}
    assert (report.parameters, report.parameter_bytes) == (216, 216)
    assert report.macs == 4 * 4 * 8 * 27
    assert (report.on_edgetpu, report.stops_at) == (2, None)
    assert report.latency == latency.estimate(report.macs, 216)


@pytest.mark.parametrize("changes, runs, words", [
    ({"float_middle": True}, 0, "CONV_2D (number 1) and what follows run on the CPU: it is not quantized"),
    ({"second": 47}, 1, "EXP (number 2) and what follows run on the CPU: the compiler does not map it"),
    ({"second": 4000}, 1, "operator 4000 (number 2)")])
def test_what_stops_the_compiler(tmp_path, changes, runs, words):
    report = inspect(written(tmp_path, network(**changes)))
    assert report.on_edgetpu == runs and words in report.stops_at
    assert report.latency is None, "part of it runs on a CPU of unknown speed"


def test_a_compiled_file_is_told_with_its_twin(tmp_path):
    (tmp_path / "x_edgetpu.tflite").write_bytes(colours(compiled=True))
    alone = inspect(tmp_path / "x_edgetpu.tflite")
    assert alone.on_edgetpu is None and alone.macs is None and alone.operators == {"edgetpu-custom-op": 1}
    (tmp_path / "x.tflite").write_bytes(network())
    assert inspect(tmp_path / "x_edgetpu.tflite").macs == 3456


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"), (b"no model at all", "no TFL3 mark"), (network()[:100], "truncated")])
def test_bad_files(tmp_path, content, message):
    with pytest.raises(ModelError, match=message):
        inspect(written(tmp_path, content))


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        inspect(tmp_path / "none.tflite")


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(places=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=20), cut=st.integers(0, 3000))
@example(places=[(980, 79)], cut=1076)      # the labels inside end too early: EOFError from zipfile
def test_damaged_files_give_an_error_or_a_report(tmp_path, places, cut):
    for content in (network(), colours(labels=["a", "b", "c"]), colours(compiled=True)):
        damaged = bytearray(content)
        for place, value in places:
            damaged[place % len(damaged)] = value
        path = written(tmp_path, bytes(damaged[:cut] if cut < 2500 else damaged))
        for read in (inspect, read_model):
            try:
                read(path)
            except ModelError as exc:
                assert str(path) in str(exc)


@pytest.mark.parametrize("name, macs, parameters", [    # published: MobileNet papers
    ("mobilenet_v1_0.5_160_quant", 77e6, 1.34e6), ("mobilenet_v1_0.25_128_quant", 14e6, 0.47e6),
    ("mobilenet_v2_1.0_224_quant", 300e6, 3.5e6)])
def test_published_numbers(testdata, name, macs, parameters):
    report = inspect(testdata / "models" / (name + ".tflite"))
    assert report.macs == pytest.approx(macs, rel=0.04)
    assert report.parameters == pytest.approx(parameters, rel=0.02)
    assert report.on_edgetpu == sum(report.operators.values())


def test_the_oldest_edge_tpu_runtime_of_a_real_package(testdata):
    report = inspect(testdata / "models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite")
    assert report.edgetpu_runtime == 12
    assert "Edge TPU runtime" in report.described()


def test_the_embedded_model_runs_wholly_on_the_edge_tpu():
    report = inspect(REPOSITORY / "models" / "everyday_objects.tflite")
    assert report.on_edgetpu == sum(report.operators.values()) and report.stops_at is None


def test_the_coefficients_are_those_that_the_fit_prints():
    printed = subprocess.check_output([sys.executable, str(REPOSITORY / "benchmarks" / "latency_fit.py")],
                                      universal_newlines=True)
    numbers = [float(n) for n in re.findall(r"\d+\.\d+", printed.splitlines()[0])]
    assert numbers == pytest.approx([latency._FIXED_MS, latency._MS_PER_GMAC, latency._MS_PER_MB], abs=2e-3)
    assert "median error %.0f %%, ratios from %.2f to %.2f" % (
        100 * latency.TYPICAL_ERROR, latency.LOWEST, latency.HIGHEST) in printed
