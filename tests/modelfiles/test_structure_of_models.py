"""Damaged and hostile models: refused by the reader, or told by the engine, but nothing dies and nothing is raw."""
from __future__ import annotations

import os
import random
import struct
import sys

import numpy as np
import pytest
from model_fuzzer import MATERIAL, Structure, damaged, fuzz
from tflite_writer import Numbers, Scalar, Table, colours, flatbuffer, tensor

from coral_classify import Classifier
from coral_classify.errors import EngineError, ModelError
from coral_classify.modelfiles import read_model
from coral_classify.modelfiles.schema import OPERATORS, operator_name

ROUNDS = int(os.environ.get("CORAL_CLASSIFY_FUZZ", "20"))


def network(inputs=(0,), outputs=(1,), given=(0,), gives=(1,), *, code=17, index=0, options=5, shapes=None, buffer=0,
            output=(1, 1, 1, 3), stride=1, graphs=1, idle=False, kind=None):
    """A file of one pooling operator, wrong in one way."""
    tensors = [tensor("image", (1, 8, 8, 3), "uint8", 1.0, 0), tensor("scores", output, "uint8", 1.0, 0, buffer)]
    tensors += [tensor("more", shape, "uint8", 1.0, 0) for shape in shapes or ()]
    pool = Table({0: Scalar("int8", 1), 1: Scalar("int32", stride), 2: Scalar("int32", 1), 3: Scalar("int32", 8),
                  4: Scalar("int32", 8)})
    operator = Table({0: Scalar("uint32", index), 1: Numbers("int32", given), 2: Numbers("int32", gives),
                      3: Scalar("uint8", options), 4: pool})
    if kind is not None:
        tensors[1].fields[1] = Scalar("int8", kind)
    operators = [operator]
    if idle:
        operators.append(Table(dict(operator.fields)))
        operators[-1].fields[2] = Numbers("int32", (2,))
    graph = Table({0: tensors, 1: Numbers("int32", inputs), 2: Numbers("int32", outputs), 3: operators})
    codes = [Table({0: Scalar("int8", code), 2: Scalar("int32", 1), 3: Scalar("int32", code)})]
    return flatbuffer(Table({0: Scalar("uint32", 3), 1: codes, 2: [graph] * graphs, 4: [Table({})]}), b"TFL3")


@pytest.mark.parametrize("content, message", [
    (network(given=(-1,)), r"operator 0 \(MAX_POOL_2D\) names tensor -1 of 2"),
    (network(given=(2,)), "names tensor 2 of 2"), (network(given=(-5,)), "names tensor -5 of 2"),
    (network(gives=(-1,)), "names tensor -1 of 2"), (network(gives=(9,)), "names tensor 9 of 2"),
    (network(inputs=(-1,)), "the graph names tensor -1"), (network(outputs=(1 << 30,)), "the graph names tensor 10737"),
    (network(given=(1,)), "before anything gave it a value"), (network(gives=(0,)), "writes tensor 0, which is not"),
    (network(outputs=(2,), shapes=[(1, 3)]), "nothing gives output tensor 2 a value"),
    (network(index=1), "an operator that it does not hold"), (network(given=(0, 0)), "has 2 inputs and 1 outputs"),
    (network(options=1), "options of another operator"), (network(options=0), "has no options"),
    (network(stride=0), "impossible option 0"), (network(stride=-1), "impossible option -1"),
    (network(buffer=7), "a buffer that the file does not hold"), (network(shapes=[(1, -3)]), "impossible shape"),
    (network(shapes=[(1 << 20, 1 << 20)]), "no device can hold"), (network(shapes=[(4, 0)]), "empty shape"),
    (network(code=32), "an operator has no name"),
    # tflite-runtime 2.11 dies of these (tests/model_fuzzer.py --seed 33).
    (network(idle=True, shapes=[(1, 1, 1, 3)]), r"nothing takes what operator 1 \(MAX_POOL_2D\) gives"),
    (network(kind=13), r"operator 0 \(MAX_POOL_2D\) takes or gives what are no numbers"),
    (network(kind=14), "no numbers"), (network(kind=5), "no numbers")])
def test_a_model_that_could_kill_an_engine_is_refused_with_the_reason(tmp_path, content, message):
    path = tmp_path / "odd.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_model(path)


def test_the_file_that_is_right_passes(tmp_path, any_engine):
    (tmp_path / "right.tflite").write_bytes(network())
    with Classifier(tmp_path / "right.tflite", device="cpu", mean=0, std=1) as classifier:
        assert classifier.classify(np.zeros((8, 8, 3), np.uint8)).predictions


@pytest.mark.parametrize("supervised", [False, True])
def test_an_output_that_differs_from_what_the_file_declares_is_a_model_error(tmp_path, any_engine, supervised):
    (tmp_path / "liar.tflite").write_bytes(network(output=(1, 5), code=19, options=0))
    with pytest.raises(ModelError, match="liar.tflite: its output is uint8 .1, 8, 8, 3. when it runs, but the file"):
        Classifier(tmp_path / "liar.tflite", device="cpu", supervised=supervised)


@pytest.mark.parametrize("name", MATERIAL)
def test_models_of_many_operators_are_read_and_run(tmp_path, any_engine, name):
    path = tmp_path / "model.tflite"
    path.write_bytes(MATERIAL[name]())
    with Classifier(path, device="cpu", mean=0, std=1) as classifier:
        assert classifier.classify(np.zeros((8, 8, 3), np.uint8)).predictions


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the fuzzer forks, and reads /proc")
@pytest.mark.parametrize("name", MATERIAL)
def test_damage_to_the_structure_kills_no_engine(tmp_path, any_engine, name):
    found = fuzz(MATERIAL[name](), ROUNDS, random.Random(7), any_engine, tmp_path)
    assert not found["killed"] + found["hangs"] + found["wrong"], found
    assert found["refused"] > ROUNDS // 4


def test_each_number_of_the_structure_may_be_anything_for_the_reader(tmp_path):
    content, chance = MATERIAL["chain"](), random.Random(3)
    places, path = Structure(content).places, tmp_path / "m.tflite"
    refused = 0
    for _ in range(1500):
        path.write_bytes(damaged(content, places, chance))
        try:
            read_model(path)
        except ModelError:
            refused += 1
    assert refused > 500


def test_a_circle_of_calls_and_an_offset_that_is_not_aligned_are_refused(tmp_path):
    content = bytearray(colours())
    struct.pack_into("<I", content, 0, struct.unpack_from("<I", content, 0)[0] + 2)
    (tmp_path / "m.tflite").write_bytes(bytes(content))
    with pytest.raises(ModelError, match="not aligned|outside"):
        read_model(tmp_path / "m.tflite")


def test_real_models_pass(testdata, any_engine):
    for path in sorted((testdata / "models").glob("mobilenet*.tflite")):
        assert read_model(path).input.shape[0] == 1
    with pytest.raises((ModelError, EngineError)):
        Classifier(testdata / "models" / "model_invoking_error.tflite", device="cpu")


def test_every_operator_of_the_schema_has_its_name():
    assert len(OPERATORS) == len(set(OPERATORS)) == 210
    assert (operator_name(69), operator_name(44), operator_name(32)) == (
        "TILE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "CUSTOM")
    assert (operator_name(0), operator_name(114), operator_name(209)) == ("ADD", "QUANTIZE", "STABLEHLO_CASE")
