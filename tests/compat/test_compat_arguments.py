"""The PyCoral face with every odd value: what Python raises of itself, or the runtimes; no process dies, and nothing is
taken in silence that PyCoral refuses."""
from __future__ import annotations

import ctypes
import warnings

import numpy as np
import pytest
from odd_values import taken_or_raised
from PIL import Image
from tflite_writer import colours

from coral_classify.compat import (
    basic_engine,
    classification_engine,
    classify,
    common,
    dataset,
    delegate,
    detect,
    edgetpu_utils,
    image_processing,
    imprinting,
    interpreter,
    old_utils,
    pipeline,
    segment,
    softmax_regression,
)

# What Python, NumPy and the runtimes raise for an argument; a RuntimeError of theirs tells what comes too late.
REFUSED = (TypeError, ValueError, AttributeError, IndexError, KeyError, OverflowError, ZeroDivisionError, OSError,
           RuntimeError)
PIXELS = np.zeros(192, np.uint8)
FALSY = {"none", "false", "zero", "empty", "empty bytes", "list", "tuple"}      # none was given, says the API
INDEX = {"true", "false", "zero", "one", "minus one", "five", "huge", "very huge", "minus huge", "numpy int",
         "numpy uint8", "0-d"}
COUNT = INDEX - {"minus one", "minus huge"}
NUMBER = INDEX | {"numpy true", "half", "nan", "infinite", "minus infinite", "a float", "1e300", "decimal", "fraction",
                  "numpy float", "numpy nan"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "colours.tflite"
    path.write_bytes(colours())
    return str(path)


@pytest.fixture
def driver(simulated_library, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))


def ready(model):
    one = interpreter.Interpreter(model_path=model)
    one.allocate_tensors()
    one.invoke()
    return one


def trained(**arguments):
    chance = np.random.RandomState(0)
    features, labels = chance.rand(20, 4), chance.randint(0, 2, 20)
    data = {"data_train": features, "labels_train": labels, "data_val": features, "labels_val": labels}
    softmax_regression.SoftmaxRegression(4, 2).train_with_sgd(**dict(
        {"data": data, "num_iter": 2, "learning_rate": 0.1, "batch_size": 4, "print_every": 0}, **arguments))


def pushed(one, value):
    runner = pipeline.PipelinedModelRunner([one])
    runner.push({one.get_input_details()[0]["name"]: value})
    runner.push({})
    return runner.pop()


def resized(model, shape):
    one = interpreter.Interpreter(model_path=model)
    one.resize_tensor_input(0, shape)
    one.allocate_tensors()


def softmax(**arguments):
    return softmax_regression.SoftmaxRegression(**dict({"feature_dim": 4, "num_classes": 2}, **arguments))


# name -> (what is done with a model's path, an interpreter and a value; the titles of the values that may be taken)
TABLE = {
    "num_classes": (lambda m, i, v: classify.num_classes(v), ()),
    "get_scores": (lambda m, i, v: classify.get_scores(v), ()),
    "top_k": (lambda m, i, v: classify.get_classes(i, v), INDEX | {"infinite", "a float", "1e300"}),
    "output_tensor": (lambda m, i, v: common.output_tensor(i, v), {"false", "zero", "minus one"}),
    "input_details": (lambda m, i, v: common.input_details(i, v), ()),
    "resize": (lambda m, i, v: common.set_resized_input(i, (8, 8), v), ()),
    "read_label_file": (lambda m, i, v: dataset.read_label_file(v), ()),
    "get_objects": (lambda m, i, v: detect.get_objects(v), ()),
    "get_output": (lambda m, i, v: segment.get_output(v), ()),
    "load_edgetpu_delegate": (lambda m, i, v: edgetpu_utils.load_edgetpu_delegate(v), FALSY),
    "device": (lambda m, i, v: edgetpu_utils.load_edgetpu_delegate({"device": v}), {"empty"}),
    "load_delegate": (lambda m, i, v: delegate.load_delegate("libedgetpu.so.1", v), FALSY),
    "make_interpreter": (lambda m, i, v: edgetpu_utils.make_interpreter(v), ()),
    "make_interpreter device": (lambda m, i, v: edgetpu_utils.make_interpreter(m, v), FALSY),
    "make_interpreter delegate": (lambda m, i, v: edgetpu_utils.make_interpreter(m, None, v), FALSY),
    "run_inference": (lambda m, i, v: edgetpu_utils.run_inference(i, v), ()),
    "run_inference interpreter": (lambda m, i, v: edgetpu_utils.run_inference(v, PIXELS), ()),
    "run_inference address": (lambda m, i, v: edgetpu_utils.run_inference(i, (ctypes.c_void_p(v), 192)), ()),
    "run_inference size": (lambda m, i, v: edgetpu_utils.run_inference(i, (ctypes.c_void_p(PIXELS.ctypes.data), v)),
                  ()),
    "set_verbosity": (lambda m, i, v: edgetpu_utils.set_verbosity(v), INDEX),
    "supports_dmabuf": (lambda m, i, v: edgetpu_utils.supports_dmabuf(v), INDEX),
    "invoke_with_bytes handle": (lambda m, i, v: edgetpu_utils.invoke_with_bytes(v, bytes(192)), ()),
    "invoke_with_bytes": (lambda m, i, v: edgetpu_utils.invoke_with_bytes(i._native_handle(), v), ()),
    "invoke_with_membuffer": (lambda m, i, v: edgetpu_utils.invoke_with_membuffer(i._native_handle(), v, 192), ()),
    "invoke_with_membuffer size": (lambda m, i, v: edgetpu_utils.invoke_with_membuffer(
        i._native_handle(), PIXELS.ctypes.data, v), ()),
    "invoke_with_dmabuffer": (lambda m, i, v: edgetpu_utils.invoke_with_dmabuffer(i._native_handle(), v, v), ()),
    "model_path": (lambda m, i, v: interpreter.Interpreter(model_path=v), ()),
    "model_content": (lambda m, i, v: interpreter.Interpreter(model_content=v), ()),
    "experimental_delegates": (lambda m, i, v: interpreter.Interpreter(m, experimental_delegates=v), FALSY),
    "num_threads": (lambda m, i, v: interpreter.Interpreter(m, num_threads=v), {"none", "true", "one", "five"}),
    "op_resolver_type": (lambda m, i, v: interpreter.Interpreter(m, experimental_op_resolver_type=v), ()),
    "set_tensor": (lambda m, i, v: i.set_tensor(v, np.zeros((1, 8, 8, 3), np.uint8)), {"false", "zero"}),
    "set_tensor value": (lambda m, i, v: i.set_tensor(0, v), ()),
    "get_tensor": (lambda m, i, v: i.get_tensor(v), {"true", "false", "zero", "one"}),
    "tensor": (lambda m, i, v: i.tensor(v)(), {"true", "false", "zero", "one"}),
    "get_tensor_details": (lambda m, i, v: i.get_tensor_details(v), {"false", "zero"}),
    "resize_tensor_input": (lambda m, i, v: resized(m, v), {"four", "array"}),
    "get_signature_runner": (lambda m, i, v: i.get_signature_runner(v), ()),
    "PipelinedModelRunner": (lambda m, i, v: pipeline.PipelinedModelRunner(v), ()),
    "queue size": (lambda m, i, v: pipeline.PipelinedModelRunner([i]).set_input_queue_size(v), COUNT),
    "output queue size": (lambda m, i, v: pipeline.PipelinedModelRunner([i]).set_output_queue_size(v), COUNT),
    "push": (lambda m, i, v: pipeline.PipelinedModelRunner([i]).push(v), ()),
    "push value": (lambda m, i, v: pushed(i, v), {"picture"}),
    "feature_dim": (lambda m, i, v: softmax(feature_dim=v), {"true", "one", "five", "numpy int", "numpy uint8", "0-d"}),
    "num classes": (lambda m, i, v: softmax(num_classes=v), {"true", "one", "five", "numpy int", "numpy uint8", "0-d"}),
    "weight_scale": (lambda m, i, v: softmax(weight_scale=v), NUMBER), "reg": (lambda m, i, v: softmax(reg=v), NUMBER),
    "data": (lambda m, i, v: trained(data=v), ()), "learning_rate": (lambda m, i, v: trained(learning_rate=v), NUMBER),
    "batch_size": (lambda m, i, v: trained(batch_size=v), {"true", "one", "five", "numpy int", "numpy uint8", "0-d"}),
    "print_every": (lambda m, i, v: trained(print_every=v), INDEX),
    "mat_x": (lambda m, i, v: softmax().get_accuracy(v, [0]), ()),
    "labels": (lambda m, i, v: softmax().get_accuracy(np.zeros((5, 4)), v), ()),
    "serialize_model": (lambda m, i, v: softmax().serialize_model(v), ()),
    "ImprintingEngine": (lambda m, i, v: imprinting.ImprintingEngine(v), ()),
    "BasicEngine": (lambda m, i, v: basic_engine.BasicEngine(v), ()),
    "BasicEngine device": (lambda m, i, v: basic_engine.BasicEngine(m, v), FALSY),
    "size": (lambda m, i, v: basic_engine.BasicEngine(m).run_inference(bytes(192), v), {"none", "huge", "very huge"}),
    "classify_with_image": (lambda m, i, v: classification_engine.ClassificationEngine(m).classify_with_image(v), ()),

    "old top_k": (lambda m, i, v: classification_engine.ClassificationEngine(m).classify_with_input_tensor(
        PIXELS, 0, v), COUNT),
    "old threshold": (lambda m, i, v: classification_engine.ClassificationEngine(m).classify_with_input_tensor(
        PIXELS, v), NUMBER),
    "resampling": (lambda m, i, v: image_processing.resampling_with_original_ratio(Image.new("RGB", (9, 9)), v, 0),
                   {"ints", "set"}),
    "ListEdgeTpuPaths": (lambda m, i, v: old_utils.ListEdgeTpuPaths(v),
                  {"true", "false", "zero", "one", "numpy int", "0-d"}),
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_an_odd_value_raises_and_kills_nobody(name, model, driver, any_engine, monkeypatch, tmp_path):
    call, allowed = TABLE[name]
    monkeypatch.chdir(tmp_path)
    one = ready(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taken = taken_or_raised(lambda value: call(model, one, value), REFUSED)
    allowed = set(allowed) | ({"numpy true"} if "true" in allowed else set())       # a number for NumPy 1
    assert taken <= allowed, sorted(taken - allowed)
    assert not list(tmp_path.iterdir())     # nothing was written


def test_memory_that_is_not_there_is_an_error_and_no_crash(model, any_engine):
    one = ready(model)
    large = np.zeros(1 << 20, np.uint8)
    address = large.ctypes.data
    edgetpu_utils.invoke_with_membuffer(one._native_handle(), address, 192)
    for wrong in (0, 1, 4096, -address, 1 << 62, 1 << 63, 1 << 70):
        with pytest.raises(ValueError, match="bytes of memory lie"):
            edgetpu_utils.invoke_with_membuffer(one._native_handle(), wrong, 192)
    with pytest.raises(ValueError, match="bytes of memory lie"):
        edgetpu_utils.run_inference(one, (ctypes.c_void_p(None), 192))
