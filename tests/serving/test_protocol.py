"""The Open Inference Protocol: with its published client, and by hand where a client would not go."""
from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import heavy

pytest.importorskip("starlette", reason="a server needs the extra [serve]: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="a server needs the extra [serve]: pip install '.[serve]'")

from http_tools import ask  # noqa: E402
from serving_tools import NAME, serving  # noqa: E402

from coral_classify import Classifier  # noqa: E402
from coral_classify.errors import DeviceLost  # noqa: E402
from coral_classify.modelfiles.passports import git_blob_id  # noqa: E402
from coral_classify.testing import FakeSession  # noqa: E402
from coral_classify.types import Quantization, TensorSpec  # noqa: E402

INFER = "/v2/models/%s/infer" % NAME
SHAPE = (1, 8, 8, 3)


def spec(dtype="uint8", shape=SHAPE):
    return TensorSpec(shape, np.dtype(dtype), Quantization(0.5, 3) if dtype != "float32" else Quantization(0.0, 0))


def colours(tensor):
    """The mean of each channel."""
    return tensor.reshape(1, -1, 3).mean(axis=1).astype(tensor.dtype)


@pytest.fixture
def classifier():
    with Classifier(FakeSession(colours, input=spec(), output=spec(shape=(1, 3)))) as one:
        yield one


@pytest.fixture
def port(classifier):
    with serving(classifier) as port:
        yield port


def tensor(seed=0, dtype="uint8"):
    return np.random.RandomState(seed).randint(0, 100, SHAPE).astype(dtype)


def request(**changes):
    one = {"name": "input", "shape": list(SHAPE), "datatype": "UINT8", "data": tensor().ravel().tolist()}
    one.update(changes)
    return json.dumps({"inputs": [one]})


def by_hand(content, text=None, **changes):
    """The body and the headers of a request in the binary form."""
    one = {"name": "input", "shape": list(SHAPE), "datatype": "UINT8",
           "parameters": {"binary_data_size": len(content)}}
    one.update(changes)
    text = text or json.dumps({"inputs": [one], "parameters": {"binary_data_output": True}}).encode()
    return text + content, {"Inference-Header-Content-Length": str(len(text))}


def test_the_published_client_gets_health_metadata_and_answers_in_both_forms(port):
    triton = heavy("tritonclient.http")
    with triton.InferenceServerClient("127.0.0.1:%d" % port) as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(NAME)
        assert not client.is_model_ready("another")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        described = client.get_model_metadata(NAME)
        assert [(one["name"], one["datatype"], one["shape"]) for one in described["inputs"] + described["outputs"]] == [
            ("input", "UINT8", [1, 8, 8, 3]), ("output", "UINT8", [1, 3])]
        for as_binary in (True, False):
            asked = triton.InferInput("input", SHAPE, "UINT8")
            asked.set_data_from_numpy(tensor(), binary_data=as_binary)
            for outputs in (None, [triton.InferRequestedOutput("output", binary_data=True)],
                            [triton.InferRequestedOutput("output", binary_data=False)]):
                answer = client.infer(NAME, [asked], outputs=outputs, request_id="seven")
                assert (answer.as_numpy("output") == colours(tensor())).all()
                assert answer.get_response()["id"] == "seven"
        with pytest.raises(triton.InferenceServerException, match="one model here"):
            client.get_model_metadata("another")
        wrong = triton.InferInput("input", (1, 8, 8), "UINT8")
        wrong.set_data_from_numpy(np.zeros((1, 8, 8), np.uint8))
        with pytest.raises(triton.InferenceServerException, match="shape must be"):
            client.infer(NAME, [wrong])


def test_the_published_client_asks_many_at_once_and_each_gets_its_own(port):
    triton = heavy("tritonclient.http")
    with triton.InferenceServerClient("127.0.0.1:%d" % port, concurrency=16) as client:
        waiting = []
        for seed in range(64):
            asked = triton.InferInput("input", SHAPE, "UINT8")
            asked.set_data_from_numpy(tensor(seed))
            waiting.append(client.async_infer(NAME, [asked]))
        for seed, one in enumerate(waiting):
            assert (one.get_result().as_numpy("output") == colours(tensor(seed))).all()


def test_metadata_says_how_the_numbers_are_meant(port):
    status, described, _ = ask(port, "GET", "/v2/models/%s/versions/1" % NAME)
    assert status == 200 and described["inputs"][0]["parameters"] == {"scale": 0.5, "zero_point": 3}
    assert described["parameters"]["device"] == "cpu" and "content_id" not in described["parameters"]


def test_metadata_says_which_file_it_is(model, any_engine):
    with Classifier(model, device="cpu") as classifier, serving(classifier) as port:
        _, described, _ = ask(port, "GET", "/v2/models/%s" % NAME)
    assert described["parameters"]["content_id"] == git_blob_id(model) and not described["parameters"]["compiled"]


@pytest.mark.parametrize("dtype, name", [("uint8", "UINT8"), ("int8", "INT8"), ("float32", "FP32")])
def test_tensors_of_any_type_come_and_go_as_json_and_as_bytes(dtype, name):
    session = FakeSession(colours, input=spec(dtype), output=spec(dtype, (1, 3)))
    with Classifier(session) as classifier, serving(classifier) as port:
        sent = tensor(1, dtype)
        status, answer, _ = ask(port, "POST", INFER, request(datatype=name, data=sent.tolist()))
        assert status == 200
        assert answer["outputs"][0]["data"] == colours(sent).ravel().tolist()
        assert answer["parameters"] == {"device": "cpu", "recovered": False}
        status, content, headers = ask(port, "POST", INFER, *by_hand(sent.tobytes(), datatype=name))
        length = int(headers["Inference-Header-Content-Length"])
        assert json.loads(content[:length])["outputs"] == [{
            "name": "output", "datatype": name, "shape": [1, 3],
            "parameters": {"binary_data_size": 3 * sent.itemsize}}]
        assert (np.frombuffer(content[length:], dtype) == colours(sent).ravel()).all()


@pytest.mark.parametrize("body, says", [
    ("", "no JSON"), ("[]", "must be a JSON object, got list"), ("{}", "inputs must be a list of one tensor"),
    ('{"inputs": {}}', "a list of one"), ('{"inputs": [1]}', "a list of one"), ("[" * 50000, "too deep"),
    ('{"inputs": [{}]}', "the model has"), (b"\xff\xfe", "no JSON"), ('{"a": %s}' % ("9" * 5000), "400 digits"),
    (request(name="picture"), 'the model has "input", got "picture"'),
    (request(shape=[1, 8, 8, -3]), "shape must be"), (request(shape=[1, 8, 8]), "shape must be"),
    (request(shape=[True, 8, 8, 3]), "shape must be"), (request(shape="1,8,8,3"), "shape must be"),
    (request(datatype="INT8"), "datatype must be UINT8"), (request(datatype=7), "datatype must be UINT8"),
    (request(data=[1, 2]), "must be 192 numbers of UINT8, got 2"), (request(data="abc"), "in a list"),
    (request(data=None), "in a list"), (request(data=[[1] * 100, 92]), "lists of one shape"),
    (request(data=[256] * 192), "from 0 to 255"), (request(data=[-1] * 192), "from 0 to 255"),
    (request(data=[1.5] * 192), "other values"), (request(data=[True] * 192), "other values"),
    (request(data=["1"] * 192), "other values"), (request(data=[float("nan")] * 192), "NaN is no number"),
    (request(parameters=3), "parameters must be a JSON object"),
    (request(parameters={"binary_data_size": 192}), "give one of them"),
    (request(parameters={"binary_data_size": -1}), "number of bytes"),
    (request()[:-1] + ', "id": 7}', "id must be a text"),
    (request()[:-1] + ', "outputs": [{"name": "scores"}]}', 'the model has "output"'),
    (request()[:-1] + ', "outputs": 5}', "outputs must be a list"),
    (request()[:-1] + ', "parameters": {"binary_data_output": 1}}', "must be true or false"),
    (request()[:-1] + ', "outputs": [{"name": "output", "parameters": {"classification": 3}}]}', "/v1/classify"),
], ids=lambda value: str(value)[:40])
def test_what_is_wrong_with_a_request_is_one_sentence(port, body, says):
    status, answer, _ = ask(port, "POST", INFER, body)
    assert status == 400 and list(answer) == ["error"]
    assert says in answer["error"] and "\n" not in answer["error"]


@pytest.mark.parametrize("number", ["1e39", "1e400", "-1e400", "1" + "0" * 350])
def test_a_number_that_no_float_holds_is_refused(number):
    session = FakeSession(colours, input=spec("float32"), output=spec("float32", (1, 3)))
    with Classifier(session) as classifier, serving(classifier) as port:
        body = request(datatype="FP32", data=[7] * 192).replace("7,", number + ",", 1)
        status, answer, _ = ask(port, "POST", INFER, body)
        assert status == 400 and ("finite" in answer["error"] or "too large" in answer["error"])
        nan = np.full(SHAPE, np.nan, np.float32).tobytes()
        assert ask(port, "POST", INFER, *by_hand(nan, datatype="FP32"))[0] == 400


@pytest.mark.parametrize("change, says", [
    ({"Inference-Header-Content-Length": "1000000"}, "length of the JSON"),
    ({"Inference-Header-Content-Length": "-1"}, "length of the JSON"),
    ({"Inference-Header-Content-Length": "abc"}, "length of the JSON"),
    ({"Inference-Header-Content-Length": "0"}, "no JSON"),
])
def test_a_wrong_length_of_the_json_is_refused(port, change, says):
    body, _ = by_hand(tensor().tobytes())
    status, answer, _ = ask(port, "POST", INFER, body, change)
    assert status == 400 and says in answer["error"]


def test_bytes_too_few_or_too_many_are_refused(port):
    body, headers = by_hand(tensor().tobytes())
    assert "bytes are left" in ask(port, "POST", INFER, body[:-1], headers)[1]["error"]
    assert "belong to no input" in ask(port, "POST", INFER, body + b"x", headers)[1]["error"]
    assert "must be 192, got 191" in ask(port, "POST", INFER, *by_hand(b"x" * 191))[1]["error"]
    status, answer, _ = ask(port, "POST", INFER, body, dict(headers, **{"Content-Encoding": "gzip"}))
    assert status == 415 and "Content-Encoding" in answer["error"]


def test_json_that_no_tensor_needs_is_refused(port):
    status, answer, _ = ask(port, "POST", INFER, request(data=[[0] * 192] * 1000))
    assert status == 400 and "send the tensor as bytes" in answer["error"]


def test_another_model_and_another_version_are_not_here(port):
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/models/%s/versions/2" % NAME):
        assert ask(port, "GET", path)[0] == 404
    for path in ("/v2/models/../../etc/passwd", "/v2/models/%2e%2e%2fetc/infer", "/v2/models//infer"):
        assert ask(port, "GET", path)[0] in (404, 405)
    assert ask(port, "POST", "/v2/models/other/infer", request())[0] == 404
    assert ask(port, "GET", INFER)[0] == 405
    assert ask(port, "HEAD", "/v2/health/live")[:2] == (200, b"")


def test_a_lost_device_is_no_fault_of_the_request_and_no_path_goes_out():
    def lost(tensor):
        raise DeviceLost("usb:0 (/dev/bus/usb/002/003) went away; /usr/lib/libedgetpu.so.1 says so")

    with Classifier(FakeSession(lost, input=spec(), output=spec(shape=(1, 3)))) as classifier, \
            serving(classifier) as port:
        status, answer, headers = ask(port, "POST", INFER, request())
        assert status == 503 and headers["retry-after"] == "1"
        assert answer == {"error": "usb:0 (003) went away; libedgetpu.so.1 says so"}
        assert ask(port, "GET", "/v2/health/live")[0] == 200
