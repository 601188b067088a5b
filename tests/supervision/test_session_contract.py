"""One contract for every session: the fake, the CPU, the supervised child, the (simulated) Edge TPU in both modes, a
board over HTTP likewise.

It is asked of a classifier, and of a network of three inputs and outputs of different shapes and dtypes.
"""
from __future__ import annotations

import contextlib
import os
import threading

import numpy as np
import pytest
from board_server import Server
from tflite_writer import colours, several

from coral_classify.engine import describe
from coral_classify.engine.runtime import open_session
from coral_classify.errors import SessionClosed, UsageError
from coral_classify.modelfiles.modelfile import read_model, read_network
from coral_classify.remote.addresses import board
from coral_classify.remote.session import BoardSession, Network
from coral_classify.supervision.supervised import SupervisedSession
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, Session, TensorSpec

KINDS = ["fake", "cpu", "supervised cpu", "edgetpu", "supervised edgetpu", "board", "supervised board"]
COLOURS = TensorSpec((1, 8, 8, 3), np.dtype(np.uint8), Quantization(float(np.float32(1 / 255)), 0))
EXACT = Quantization(0.0, 0)
SEVERAL = (COLOURS, TensorSpec((4, 25), np.dtype(np.int32), EXACT), TensorSpec((5,), np.dtype(np.float32), EXACT))


def means(tensor):
    return np.rint(tensor.reshape(-1, 3).mean(axis=0)).astype(np.uint8)[None]


def opened(kind, plain, compiled, read, request, monkeypatch):
    """A session of one of the real kinds on the files."""
    request.getfixturevalue("any_engine")
    if "edgetpu" in kind:
        monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(request.getfixturevalue("simulated_library")))
        monkeypatch.setenv("SIM_ABI", "old")
    if kind == "cpu":
        return open_session(read(plain))
    if kind == "board":
        return request.getfixturevalue("boards")(open_session(read(plain)))
    if kind == "supervised board":
        return request.getfixturevalue("boards")(open_session(read(plain)), twin=plain)
    if kind == "edgetpu":
        return open_session(read(compiled), device="usb:0")
    any_network = read is read_network
    if kind == "supervised cpu":
        return SupervisedSession.open(str(plain), "cpu", any_network=any_network)
    return SupervisedSession.open(str(compiled), "usb:0", twin=str(plain), any_network=any_network)


@pytest.fixture
def boards():
    """From a session to one of the same network, over HTTP; with a twin: supervised."""
    with contextlib.ExitStack() as stack:
        def new(session, twin=None):
            server = stack.enter_context(Server(stack.enter_context(session)))
            network = Network("m.tflite", session.inputs, session.outputs, names=["m"])
            if twin is None:
                return BoardSession(board(server.url), network)
            plain = [[[list(spec.shape), spec.dtype.name] + list(spec.quantization) for spec in specs]
                     for specs in (session.inputs, session.outputs)]
            return SupervisedSession(
                {"model": "m.tflite", "board": server.url, "names": ["m"], "content_ids": [], "content_id": "",
                 "compiled": False, "deadline_s": 30.0,
                 "inputs": plain[0], "outputs": plain[1]}, twin=describe(str(twin), "cpu", any_network=True),
                device=server.url, thread_factory="coral_classify.remote.opening:open_described")
        yield new


@pytest.fixture(params=KINDS)
def session(request, tmp_path, monkeypatch):
    plain, compiled = tmp_path / "m.tflite", tmp_path / "m_edgetpu.tflite"
    plain.write_bytes(colours())
    compiled.write_bytes(colours(compiled=True))
    made: Session
    if request.param == "fake":
        made = FakeSession(means, input=COLOURS)
    else:
        made = opened(request.param, plain, compiled, read_model, request, monkeypatch)
    yield made
    made.close()


@pytest.fixture(params=KINDS)
def network(request, tmp_path, monkeypatch):
    with _network(request.param, 4, request, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(params=[(kind, rows) for kind in KINDS for rows in (4, 1200)],
                ids=lambda pair: "%s, %s outputs" % (pair[0], "small" if pair[1] == 4 else "large"))
def sized_network(request, tmp_path, monkeypatch):
    """The large output has 120 kB: too much for a message."""
    with _network(*request.param, request, tmp_path, monkeypatch) as made:
        yield made


def _network(kind, rows, request, tmp_path, monkeypatch):
    if kind == "fake":
        specs = [SEVERAL[0], SEVERAL[1]._replace(shape=(rows, 25)), SEVERAL[2]]
        return FakeSession(answers, input=specs, output=[SEVERAL[0]._replace(shape=(1, 1, 1, 3))] + specs[1:],
                           verbs={"tensors": lambda: {"inputs": [{}] * 3, "outputs": [{}] * 3}})
    plain, compiled = tmp_path / "several.tflite", tmp_path / "several_edgetpu.tflite"
    plain.write_bytes(several(rows=rows))
    compiled.write_bytes(several(rows=rows, compiled=True))
    return opened(kind, plain, compiled, read_network, request, monkeypatch)


def answers(image, whole, real):
    return means(image)[:, None, None], 2 * whole, np.maximum(real, 0)


def questions(session, seed=0):
    """A tensor for each input."""
    random = np.random.RandomState(seed)
    return (picture(seed), random.randint(-1000, 1000, session.inputs[1].shape).astype(np.int32),
            random.uniform(-1, 1, 5).astype(np.float32))


def check(outputs, asked):
    found, expected = list(outputs), answers(*asked)
    assert [array.shape for array in found] == [array.shape for array in expected]
    assert [array.dtype for array in found] == [np.uint8, np.int32, np.float32]
    assert np.abs(found[0].astype(int) - expected[0]).max() <= 1
    assert (found[1] == expected[1]).all() and (found[2] == expected[2]).all()


def picture(seed=0):
    return np.random.RandomState(seed).randint(0, 256, (1, 8, 8, 3)).astype(np.uint8)


def test_it_says_what_it_takes_gives_and_is(session):
    assert session.input.shape == (1, 8, 8, 3) and session.input.dtype == np.uint8
    assert session.output.shape == (1, 3) and session.output.dtype == np.uint8
    assert session.device in ("cpu", "usb:0") or session.device.startswith("http://127.0.0.1:")
    assert session.answer.device == session.device and not session.answer.recovered


def test_it_answers_right(session):
    for seed in range(5):
        output = session.run(picture(seed))
        assert output.shape == (1, 3) and output.dtype == np.uint8
        assert np.abs(output.astype(int) - means(picture(seed))).max() <= 1


def test_an_answer_is_a_copy_that_stays(session):
    first = session.run(picture(0))
    kept = first.copy()
    session.run(np.full((1, 8, 8, 3), 255, np.uint8))
    assert (first == kept).all()


def test_a_tensor_of_another_shape_or_dtype_is_refused(session):
    for wrong in (np.zeros((1, 8, 9, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.int8)):
        with pytest.raises(ValueError, match="the model takes uint8"):
            session.run(wrong)


def test_a_tensor_that_is_not_contiguous_is_no_matter(session):
    wide = np.repeat(picture(1), 2, axis=2)
    assert np.abs(session.run(wide[:, :, ::2]).astype(int) - means(picture(1))).max() <= 1


def test_threads_may_share_it(session):
    expected = {seed: session.run(picture(seed)) for seed in range(8)}
    wrong = []

    def work(seed):
        for _ in range(20):
            if (session.run(picture(seed)) != expected[seed]).any():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_after_close_it_says_so(session):
    session.close()
    session.close()
    assert session.closed
    with pytest.raises(SessionClosed, match="closed"):
        session.run(picture())


def test_its_own_tensors_are_taken_as_any_other(session):
    tensors = session.input_tensors(3)
    assert len(tensors) == 3
    for seed, tensor in enumerate(tensors):
        assert tensor.shape == session.input.shape and tensor.dtype == session.input.dtype
        tensor[...] = picture(seed)
    for seed in (2, 0, 1, 0):
        assert (session.run(tensors[seed]) == session.run(picture(seed))).all()


def test_the_next_tensor_may_be_told_and_left_out_and_told_again(session):
    expected = [session.run(picture(seed)) for seed in range(4)]
    tensors = session.input_tensors(4)
    for seed, tensor in enumerate(tensors):
        tensor[...] = picture(seed)
    told = [(0, 1), (1, 2), (3, None), (2, 0), (3, 2), (2, 2), (2, None)]     # 2 and 0 are told in vain
    for number, then in told:
        output = session.run(tensors[number], None if then is None else tensors[then])
        assert (output == expected[number]).all(), (number, then)
    assert (session.run(tensors[0], picture(1)) == expected[0]).all()   # one from elsewhere
    assert (session.run(picture(1), tensors[2]) == expected[1]).all()
    del tensors[2]
    assert (session.run(picture(3)) == expected[3]).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_the_child_is_told_and_the_parent_goes_on(session):
    before = session.run(picture())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            session.run(picture())
        except SessionClosed as exc:
            code = 0 if "fork" in str(exc) else 2
        session.close()     # must not take the device from the parent
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert (session.run(picture()) == before).all()


def test_with_closes_it(session):
    with session as same:
        assert same is session
    assert session.closed


def test_a_classifier_is_the_case_of_one_and_one(session):
    assert session.inputs == (session.input,) and session.outputs == (session.output,)
    (output,) = session.run_all([picture(3)])
    assert (output == session.run(picture(3))).all()
    ((tensor,),) = session.input_sets(1)
    tensor[...] = picture(4)
    assert (session.run_all((tensor,))[0] == session.run(picture(4))).all()


def test_a_network_says_what_it_takes_and_gives(network):
    assert [(spec.shape, spec.dtype) for spec in network.inputs] == [(spec.shape, spec.dtype) for spec in SEVERAL]
    assert [spec.shape for spec in network.outputs] == [(1, 1, 1, 3), (4, 25), (5,)]
    assert network.input == network.inputs[0] and network.output == network.outputs[0]
    assert network.outputs[0].quantization.zero_point == 0 and network.outputs[1].quantization == EXACT
    assert abs(network.outputs[0].quantization.scale - 1 / 255) < 1e-6


def test_a_network_answers_with_every_output(sized_network):
    network = sized_network
    kept = []
    for seed in range(4):
        asked = questions(network, seed)
        kept.append((network.run_all(asked), asked))
    for outputs, asked in kept:     # copies that stay
        check(outputs, asked)


def test_tensors_that_do_not_fit_a_network_are_refused(network):
    good = questions(network)
    with pytest.raises(ValueError, match="takes 3 tensors, got 2"):
        network.run_all(good[:2])
    with pytest.raises(ValueError, match=r"takes int32 \(4, 25\) at input 1, got float32 \(4, 25\)"):
        network.run_all((good[0], good[1].astype(np.float32), good[2]))
    with pytest.raises(ValueError, match="takes float32 .* at input 2"):
        network.run_all(good, then=good[:2] + (np.zeros(6, np.float32),))
    with pytest.raises(ValueError, match="gives 3 tensors, got 1"):
        network.run_all(good, into=[np.zeros((1, 1, 1, 3), np.uint8)])
    with pytest.raises(ValueError, match="3 inputs and 3 outputs; use run_all"):
        network.run(good[0])
    with pytest.raises(ValueError, match="use input_sets"):
        network.input_tensors(1)


def test_views_of_a_networks_own_tensors_show_the_latest_answer(sized_network):
    network = sized_network
    (into,), sets = network.output_sets(1), network.input_sets(2)
    views = [array[...] for array in into]
    for seed in range(4):
        asked = questions(network, seed)
        for tensor, value in zip(sets[seed % 2], asked):
            tensor[...] = value
        given = network.run_all(sets[seed % 2], into=into)
        assert all(one is other for one, other in zip(given, into))
        check(views, asked)
    mixed = (sets[0][0], questions(network, 9)[1], sets[1][2])      # some its own, some from elsewhere
    check(network.run_all(mixed, into=[np.array(array) for array in into]), mixed)
    check(network.run_all(mixed), mixed)


def test_a_network_may_be_told_the_next_tensors(sized_network):
    network = sized_network
    sets = network.input_sets(3)
    for seed, tensors in enumerate(sets):
        for tensor, value in zip(tensors, questions(network, seed)):
            tensor[...] = value
    (into,) = network.output_sets(1)
    kept = []
    for number, then, places in [(0, 1, None), (1, 2, None), (2, 0, into), (0, 1, into), (2, 1, None), (1, None, into)]:
        outputs = network.run_all(sets[number], None if then is None else sets[then], into=places)
        check(outputs, questions(network, number))
        if places is None:
            kept.append((outputs, number))
    for outputs, number in kept:
        check(outputs, questions(network, number))


def test_what_else_a_session_offers_is_asked_by_name(network):
    told = network.call("tensors")
    assert len(told["inputs"]) == len(told["outputs"]) == 3
    asked = questions(network)
    (into,), (tensors,) = network.output_sets(1), network.input_sets(1)
    for tensor, value in zip(tensors, asked):
        tensor[...] = value
    check(network.run_all(asked, tensors), asked)
    assert network.call("tensors") == told      # while one is announced
    check(network.run_all(tensors, into=into), asked)
    with pytest.raises(UsageError, match="offers nothing named 'coffee'"):
        network.call("coffee", milk=True)
    check(network.run_all(asked), asked)
    network.close()
    with pytest.raises(SessionClosed):
        network.call("tensors")
    with pytest.raises(SessionClosed):
        network.run_all(asked)


def test_an_engine_tells_everything_of_its_tensors(tmp_path, engine):
    path = tmp_path / "several.tflite"
    path.write_bytes(several())
    with open_session(read_network(path), engine=engine) as session:
        told = session.call("tensors")
    assert [one["name"] for one in told["inputs"] + told["outputs"]] == [
        "picture", "whole", "real", "means", "doubled", "rectified"]
    assert [one["dtype"] for one in told["outputs"]] == ["uint8", "int32", "float32"]
    assert told["inputs"][1]["shape"] == [4, 25] and len(told["inputs"][0]["quantization_parameters"]["scales"]) == 1


class Older(Session):
    """As users wrote theirs when a session had one input and one output."""

    def __init__(self, input, output):
        super().__init__(input, output, device="cpu")

    def _run(self, tensor):
        return means(tensor)

    def _close(self):
        pass


def test_a_session_that_knows_one_tensor_only_obeys_all_of_the_contract():
    session = Older(COLOURS, COLOURS._replace(shape=(1, 3)))
    expected = means(picture(1))
    assert (session.run(picture(1)) == expected).all()
    assert (session.run(picture(1), picture(2)) == expected).all()
    assert (session.run_all([picture(1)])[0] == expected).all()
    into = np.zeros((1, 3), np.uint8)
    assert session.run_all([picture(1)], [picture(2)], into=[into])[0] is into and (into == expected).all()
    with pytest.raises(UsageError, match="a Older offers nothing"):
        session.call("tensors")


def test_a_session_without_tensors_or_work_is_a_mistake():
    with pytest.raises(UsageError, match="output must be a TensorSpec, or a list of some"):
        FakeSession(input=COLOURS, output=[])

    class Idle(Session):
        def _close(self):
            pass

    with pytest.raises(TypeError, match="neither _run nor _run_all"):
        Idle(COLOURS, COLOURS, device="cpu")
