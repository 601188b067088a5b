"""The interpreter of compat beside the runtimes' own, on the same models; and over the simulated driver."""
from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from tflite_writer import colours
from worker_tools import wait_until

from coral_classify.compat import edgetpu_utils
from coral_classify.compat.interpreter import Interpreter, load_delegate
from coral_classify.engine import load_engine

posix = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")


@pytest.fixture
def mine(engine, monkeypatch):
    """Ours, over one engine."""
    monkeypatch.setenv("CORAL_CLASSIFY_ENGINE", engine)
    return Interpreter


@pytest.fixture
def theirs(engine):
    return load_engine(engine).interpreter


@pytest.fixture
def behind(simulated, pair, engine, monkeypatch):
    """An allocated interpreter of the compiled model of colours, behind the simulated driver; it is closed."""
    monkeypatch.setenv("CORAL_CLASSIFY_ENGINE", engine)
    interpreter = edgetpu_utils.make_interpreter(str(pair))
    interpreter.allocate_tensors()
    yield interpreter
    interpreter.close()


def places(interpreter):
    return interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]


def picture(value):
    return np.full((1, 8, 8, 3), value, np.uint8)


def same(one, other):
    """Details of a tensor, compared; what only one runtime has is left out."""
    assert set(one) == {"name", "index", "shape", "shape_signature", "dtype", "quantization",
                        "quantization_parameters", "sparsity_parameters"}
    for key in ("name", "index", "dtype", "quantization"):
        assert one[key] == other[key] and type(one[key]) is type(other[key])
    for key in ("shape", "shape_signature"):
        assert one[key].tolist() == other[key].tolist() and one[key].dtype == other[key].dtype
    assert set(one["quantization_parameters"]) == {"scales", "zero_points", "quantized_dimension"}
    for key in ("scales", "zero_points"):
        mine, its = one["quantization_parameters"][key], other["quantization_parameters"][key]
        assert mine.tolist() == its.tolist() and mine.dtype == its.dtype


def test_details_are_the_runtimes(model, mine, theirs):
    pairs = [(maker(model_path=str(model))) for maker in (mine, theirs)]
    for method in ("get_input_details", "get_output_details", "get_tensor_details"):
        one, other = (getattr(interpreter, method)() for interpreter in pairs)
        assert len(one) == len(other)
        for mine_, its in zip(one, other):
            same(mine_, its)
    assert pairs[0].get_signature_list() == pairs[1].get_signature_list() == {}


def outcome(function):
    try:
        function()
    except Exception as exc:
        return type(exc), str(exc)
    return None


@pytest.mark.parametrize("allocated", [False, True])
@pytest.mark.parametrize("wrong", [
    lambda i: i.set_tensor(0, np.zeros((1, 8, 8, 3), np.float32)),
    lambda i: i.set_tensor(0, np.zeros((8, 8, 3), np.uint8)),
    lambda i: i.set_tensor(0, np.zeros((1, 9, 8, 3), np.uint8)),
    lambda i: i.set_tensor(0, np.zeros((1, 8, 8, 3), np.uint8)),
    lambda i: i.set_tensor(0, np.zeros((1, 8, 8, 6), np.uint8)[..., ::2]),
    lambda i: i.set_tensor(99, np.zeros((1, 8, 8, 3), np.uint8)),
    lambda i: i.get_tensor(1),
    lambda i: i.get_tensor(99),
    lambda i: i.tensor(0)(),
    lambda i: i.tensor(99)(),
    lambda i: i.get_signature_runner(),
    lambda i: i.get_signature_runner("x"),
    lambda i: i.reset_all_variables(),
    lambda i: i.invoke(),
])
def test_errors_are_the_runtimes_word_for_word(wrong, allocated, model, mine, theirs):
    outcomes = []
    for maker in (mine, theirs):
        interpreter = maker(model_path=str(model))
        if allocated:
            interpreter.allocate_tensors()
        outcomes.append(outcome(lambda made=interpreter: wrong(made)))
    assert outcomes[0] == outcomes[1] or "signature_key" in outcomes[0][1] and outcomes[0][0] is outcomes[1][0]


@pytest.mark.parametrize("arguments, error", [
    ({"model_path": "invalid_model_path.tflite"}, "Could not open 'invalid_model_path.tflite'."),
    ({}, "`model_path` or `model_content` must be specified."),
    ({"model_path": "x", "model_content": b"y"}, "Can't both provide `model_path` and `model_content`"),
    ({"model_content": b"garbage garbage garbage"}, ""),
    ({"model_path": "x", "num_threads": 0}, "num_threads should >= 1"),
    ({"model_path": "x", "num_threads": "2"}, "type of num_threads should be int"),
])
def test_models_that_cannot_be_opened(arguments, error, mine):
    with pytest.raises(ValueError) as caught:
        mine(**arguments)
    assert error in str(caught.value)


@pytest.mark.parametrize("content", [False, True])
def test_a_model_runs_as_in_the_runtime(content, model, mine, theirs):
    arguments = {"model_content": model.read_bytes()} if content else {"model_path": str(model)}
    answers = []
    for maker in (mine, theirs):
        interpreter = maker(num_threads=1, **arguments)
        interpreter.allocate_tensors()
        taken, given = places(interpreter)
        interpreter.set_tensor(taken, np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(given))
    assert answers[0].tolist() == answers[1].tolist() and answers[0].dtype == answers[1].dtype


def test_views_stay_valid_across_inferences(model, mine):
    interpreter = mine(model_path=str(model))
    interpreter.allocate_tensors()
    taken, given = (interpreter.tensor(place)() for place in places(interpreter))
    for value in (3, 200):
        taken[:] = value
        interpreter.invoke()
        assert given.ravel().tolist() == [value] * 3
    copied = interpreter.get_tensor(places(interpreter)[1])
    taken[:] = 7
    interpreter.invoke()
    assert copied.ravel()[0] == 200 and given.ravel()[0] == 7
    assert np.shares_memory(taken, interpreter.tensor(places(interpreter)[0])())


def test_an_input_can_be_resized(mine, theirs, tmp_path):
    # A pool over the whole picture gives more places for a larger one.
    answers = []
    for maker in (mine, theirs):
        interpreter = maker(model_content=colours())
        interpreter.resize_tensor_input(0, [1, 9, 8, 3])
        assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 9, 8, 3]
        assert outcome(interpreter.invoke)[0] is RuntimeError
        interpreter.allocate_tensors()
        interpreter.set_tensor(0, np.arange(216, dtype=np.uint8).reshape(1, 9, 8, 3))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(1))
    assert answers[0].shape == (1, 2, 1, 3) and answers[0].tolist() == answers[1].tolist()


def test_several_inputs_and_kinds_of_numbers(mine, testdata):
    interpreter = mine(model_path=str(testdata / "models" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"))
    interpreter.allocate_tensors()
    interpreter.invoke()
    assert interpreter.get_tensor(places(interpreter)[1]).shape == (1, 1, 1, 1024)


@posix
def test_a_compiled_model_runs_behind_the_driver(behind):
    taken, given = (behind.tensor(place)() for place in places(behind))
    for value in (5, 77, 250):
        taken[:] = value
        behind.invoke()
        assert given.ravel().tolist() == [value] * 3
    assert behind.device == "usb:0"


@posix
def test_a_compiled_model_given_as_bytes(simulated, pair, any_engine):
    interpreter = edgetpu_utils.make_interpreter(pair.read_bytes(), device=":0")
    interpreter.allocate_tensors()
    edgetpu_utils.run_inference(interpreter, bytes([9]) * 192)
    assert interpreter.get_tensor(places(interpreter)[1]).ravel().tolist() == [9, 9, 9]
    interpreter.close()


@posix
def test_details_behind_the_driver_are_those_of_the_runtime(behind, pair):
    twin = Interpreter(model_path=str(pair).replace("_edgetpu", ""))
    for method in ("get_input_details", "get_output_details"):
        for mine, its in zip(getattr(behind, method)(), getattr(twin, method)()):
            same(mine, its)
    assert len(behind.get_tensor_details()) >= 2


@posix
def test_not_ready_before_it_is_allocated(simulated, pair, any_engine):
    interpreter = edgetpu_utils.make_interpreter(str(pair))
    content = np.zeros(192, np.uint8)
    handle = interpreter._native_handle()
    for wrong in (interpreter.invoke, lambda: edgetpu_utils.invoke_with_dmabuffer(handle, 0, 192),
                  lambda: edgetpu_utils.invoke_with_membuffer(handle, content.ctypes.data, 192)):
        with pytest.raises(RuntimeError, match="Invoke called on model that is not ready."):
            wrong()
    with pytest.raises(ValueError, match=r"Run allocate_tensors\(\) first"):
        interpreter.get_tensor(0)
    interpreter.close()


@posix
def test_raw_memory_of_every_kind(behind):
    taken, given = places(behind)
    content = np.arange(193, dtype=np.uint8)
    answers = []
    for data in (content, content.tobytes(), (content.ctypes.data_as(ctypes.c_void_p), content.size), content[:192]):
        edgetpu_utils.run_inference(behind, data)
        answers.append(behind.get_tensor(given).tolist())
        behind.tensor(taken)()[:] = 0
    assert answers[1:] == answers[:-1] and answers[0] != [[[[0, 0, 0]]]]
    with pytest.raises(ValueError, match="input size=191, expected=192"):
        edgetpu_utils.run_inference(behind, content[:191])
    with pytest.raises(TypeError, match="input data type is not supported"):
        edgetpu_utils.run_inference(behind, "a text")
    with pytest.raises(RuntimeError, match=r"Input buffer \(3\) has fewer entries than model input tensor \(192\)"):
        edgetpu_utils.invoke_with_bytes(behind._native_handle(), b"abc")
    assert edgetpu_utils.supports_dmabuf(behind._native_handle()) is False


@posix
def test_what_lies_inside_a_model_is_lost_with_its_process(simulated, pair, any_engine, monkeypatch, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("SIM_STATE", str(state))
    monkeypatch.setenv("SIM_FAULTS", "idle:1")
    interpreter = edgetpu_utils.make_interpreter(str(pair))
    interpreter.allocate_tensors()
    interpreter.invoke()
    wait_until(lambda: interpreter._home._session._keeper.losses)      # the death is seen; it may be open again
    with pytest.raises(RuntimeError, match=r"lost with the process that held it; call invoke\(\) again"):
        interpreter._home.read(0)
    wait_until(lambda: interpreter._home._session._keeper.child is not None)    # else the twin may answer one of these
    interpreter.invoke()
    assert interpreter._home.read(0).shape == (1, 8, 8, 3)
    interpreter.close()


@posix
@pytest.mark.parametrize("device", [":1000", "foo", "usb:1", "pci"])
def test_a_device_that_is_not_there(device, simulated, pair):
    with pytest.raises(ValueError, match="Failed to load delegate from libedgetpu.so.1"):
        edgetpu_utils.make_interpreter(str(pair), device=device)


def test_no_library_at_all(pair, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "libno_such_edgetpu.so.1")
    with pytest.raises(OSError, match=r"libno_such_edgetpu.so.1: cannot open shared object file|no_such"):
        load_delegate("libedgetpu.so.1")


@posix
def test_a_device_that_cannot_be_opened_says_why(simulated_library, pair, any_engine, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    monkeypatch.setenv("SIM_DEVICES", "busy")
    delegate = load_delegate("libedgetpu.so.1", {"device": "usb:0"})
    with pytest.raises(ValueError, match="(?s)Failed to load delegate from libedgetpu.so.1.*usb:0"):
        Interpreter(model_path=str(pair), experimental_delegates=[delegate])


def test_a_plain_model_runs_behind_the_delegate(simulated, model, any_engine):
    interpreter = edgetpu_utils.make_interpreter(str(model))
    interpreter.allocate_tensors()
    edgetpu_utils.run_inference(interpreter, bytes([4]) * 192)
    assert interpreter.get_tensor(places(interpreter)[1]).ravel().tolist() == [4, 4, 4]
    assert interpreter.device == "cpu"


def test_on_request_the_twin_runs_on_the_cpu(pair, any_engine, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_COMPAT", "cpu")
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", "libno_such_edgetpu.so.1")
    interpreter = edgetpu_utils.make_interpreter(str(pair))
    interpreter.allocate_tensors()
    edgetpu_utils.run_inference(interpreter, bytes([6]) * 192)
    assert interpreter.get_tensor(places(interpreter)[1]).ravel().tolist() == [6, 6, 6]
    with pytest.raises(ValueError, match="its CPU twin is missing; give the plain model"):
        edgetpu_utils.make_interpreter(pair.read_bytes())


def test_the_driver_tells_of_itself(simulated):
    assert edgetpu_utils.list_edge_tpus() == [{"type": "usb", "path": "/sys/bus/usb/devices/2-0"}]
    assert "RuntimeVersion(14)" in edgetpu_utils.get_runtime_version()
    assert edgetpu_utils.set_verbosity(10) and edgetpu_utils.set_verbosity(0)


def test_a_runtimes_interpreter_can_be_run_on_raw_memory_too(model, theirs):
    interpreter = theirs(model_path=str(model))
    interpreter.allocate_tensors()
    edgetpu_utils.run_inference(interpreter, bytes([5]) * 192)
    edgetpu_utils.run_inference(interpreter, np.full(400, 6, np.uint8)[::2])
    assert interpreter.get_tensor(places(interpreter)[1]).ravel().tolist() == [6, 6, 6]


@posix
def test_our_delegate_serves_a_runtimes_interpreter(simulated, pair, engine, tmp_path):
    """Unsupervised, as it always was; in a process of its own, since it opens the driver there."""
    script = ("import sys\nfrom coral_classify.compat.delegate import load_delegate\n"
              "from coral_classify.engine import load_engine\n"
              "i = load_engine(sys.argv[1]).interpreter(model_path=sys.argv[2], experimental_delegates=[\n"
              "    load_delegate('libedgetpu.so.1')])\n"
              "i.allocate_tensors(); i.invoke(); print(i.get_tensor(1).shape); del i\n")
    ran = subprocess.run([sys.executable, "-c", script, engine, str(pair)], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, universal_newlines=True,
                         env=dict(os.environ, PYTHONPATH=str(REPOSITORY)))
    assert ran.stdout == "(1, 1, 1, 3)\n" and "nobody watches over it" in ran.stderr, ran.stderr


@posix
def test_a_strict_resize_keeps_what_the_model_fixes(behind):
    with pytest.raises(RuntimeError, match="Attempting to resize dimension 1 of tensor 0 with value 8 to 9"):
        behind.resize_tensor_input(0, [1, 9, 8, 3], strict=True)
    behind.resize_tensor_input(0, [1, 8, 8, 3], strict=True)
    behind.allocate_tensors()
    behind.invoke()
