"""Networks of other shapes than a picture in and scores out: signatures, several tensors, new shapes, variables."""
from __future__ import annotations

import os

import numpy as np
import pytest
from tflite_writer import Scalar, Table, colours, several

from coral_classify.compat import edgetpu_utils
from coral_classify.compat.interpreter import Interpreter
from coral_classify.engine import load_engine
from coral_classify.testing import small_models

posix = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")


@pytest.fixture
def signed(monkeypatch):
    """A function that writes the model of colours with the signature "look": picture -> means."""
    plain = small_models.flatbuffer

    def with_signature(table, identifier):
        if identifier == b"TFL3":
            names = [[Table({0: name, 1: Scalar("uint32", number)})] for name, number in (("picture", 0), ("means", 1))]
            table.fields[7] = [Table({0: names[0], 1: names[1], 2: "look"})]
        return plain(table, identifier)

    def write(**more):
        monkeypatch.setattr(small_models, "flatbuffer", with_signature)
        try:
            return colours(**more)
        finally:
            monkeypatch.setattr(small_models, "flatbuffer", plain)
    return write


def test_a_signature_is_called_by_names_as_in_the_runtime(signed, engine, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_ENGINE", engine)
    pixels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    answers = []
    for maker in (Interpreter, load_engine(engine).interpreter):
        interpreter = maker(model_content=signed())
        assert interpreter.get_signature_list() == {"look": {"inputs": ["picture"], "outputs": ["means"]}}
        runner = interpreter.get_signature_runner()
        answers.append(runner(picture=pixels)["means"])
        assert list(runner.get_input_details()) == ["picture"]
        assert runner.get_output_details()["means"]["index"] == 1
        assert interpreter.get_tensor(1).tolist() == answers[-1].tolist()
        for wrong, error in (({}, "Invalid number of inputs"), ({"x": pixels}, "Invalid Input name")):
            with pytest.raises(ValueError, match=error):
                runner(**wrong)
        larger = runner(picture=np.zeros((1, 9, 8, 3), np.uint8))["means"]
        assert larger.shape == (1, 2, 1, 3)
    assert answers[0].tolist() == answers[1].tolist()


@posix
def test_a_signature_behind_the_driver(signed, simulated, any_engine):
    interpreter = edgetpu_utils.make_interpreter(signed(compiled=True))
    runner = interpreter.get_signature_runner("look")
    for value in (3, 9):
        assert runner(picture=np.full((1, 8, 8, 3), value, np.uint8))["means"].ravel().tolist() == [value] * 3
    assert runner.get_output_details()["means"]["shape"].tolist() == [1, 1, 1, 3]
    interpreter.close()


@posix
def test_a_compiled_model_is_opened_anew_for_a_new_shape(simulated, pair, any_engine):
    interpreter = edgetpu_utils.make_interpreter(str(pair))
    interpreter.resize_tensor_input(0, [1, 8, 8, 3])
    interpreter.allocate_tensors()
    interpreter.resize_tensor_input(0, [1, 16, 8, 3])
    with pytest.raises(RuntimeError, match="not ready"):
        interpreter.invoke()
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.full((1, 16, 8, 3), 8, np.uint8))
    interpreter.invoke()
    assert interpreter.get_tensor(1).ravel().tolist() == [8, 8, 8]
    interpreter.close()


@posix
@pytest.mark.parametrize("compiled", [False, True])
def test_several_inputs_and_outputs_are_those_of_the_runtime(compiled, simulated, any_engine, tmp_path):
    paths = [tmp_path / "several.tflite", tmp_path / "several_edgetpu.tflite"]
    for path, kind in zip(paths, (False, True)):
        path.write_bytes(several(compiled=kind))
    ours = edgetpu_utils.make_interpreter(str(paths[compiled]))
    theirs = load_engine(any_engine).interpreter(model_path=str(paths[0]))
    generator = np.random.RandomState(1)
    ours.allocate_tensors()
    theirs.allocate_tensors()
    for _ in range(3):
        for mine, its in zip(ours.get_input_details(), theirs.get_input_details()):
            values = generator.randint(0, 100, its["shape"]).astype(its["dtype"])
            ours.set_tensor(mine["index"], values)
            theirs.set_tensor(its["index"], values)
        ours.invoke()
        theirs.invoke()
        for mine, its in zip(ours.get_output_details(), theirs.get_output_details()):
            assert ours.get_tensor(mine["index"]).tolist() == theirs.get_tensor(its["index"]).tolist()
    ours.close()


def test_variables_are_reset_as_in_the_runtime(any_engine):
    interpreter = Interpreter(model_content=colours())
    interpreter.allocate_tensors()
    assert interpreter.reset_all_variables() is None


def test_every_kind_of_number_can_be_an_input(any_engine):
    for dtype in ("float32", "int8", "uint8"):
        interpreter = Interpreter(model_content=colours(dtype=dtype, scale=0 if dtype == "float32" else 1 / 255))
        interpreter.allocate_tensors()
        interpreter.set_tensor(0, np.full((1, 8, 8, 3), 5, dtype))
        interpreter.invoke()
        assert interpreter.get_tensor(1).ravel().tolist() == [5, 5, 5] and interpreter.get_tensor(1).dtype == dtype
