from __future__ import annotations

import hashlib
import logging
import shutil
import threading

import numpy as np
import pytest
from conftest import REPOSITORY
from tflite_writer import colours

from coral_classify import Classifier
from coral_classify.errors import DeviceError, LabelsError, ModelError, SessionClosed, UsageError
from coral_classify.modelfiles import passports
from coral_classify.modelfiles.passports import Sure
from coral_classify.testing import FakeSession
from coral_classify.types import Quantization, TensorSpec

LABELS = ["red", "green", "blue"]


def answering(*scores):
    return FakeSession(lambda tensor: np.array([scores], np.uint8))


@pytest.fixture
def picture():
    return np.zeros((224, 224, 3), np.uint8)


def test_best_class_comes_first(picture):
    result = Classifier(answering(0, 200, 40, 16)).classify(picture, top_k=2)
    assert [p.class_id for p in result.predictions] == [1, 2]
    assert result.predictions[0].score == 200 / 256
    assert result.predictions[0].label == "1"      # without labels the id is the label


def test_threshold_allow_and_deny(picture):
    with Classifier(answering(10, 200, 40, 16), labels=["a", "b", "c", "c"]) as classifier:
        assert [p.label for p in classifier.classify(picture, threshold=0.1).predictions] == ["b", "c"]
        assert [p.class_id for p in classifier.classify(picture, allow=["c", 0]).predictions] == [2, 3, 0]
        assert [p.class_id for p in classifier.classify(picture, deny=["c"]).predictions] == [1, 0]
        assert classifier.classify(picture, allow=["b"], deny=["b"]).predictions == ()
        with pytest.raises(UsageError, match="no class is called 'd'"):
            classifier.classify(picture, allow=["d"])


def test_no_class_at_all_is_a_usage_error(picture):
    with pytest.raises(UsageError, match="top_k"):
        Classifier(answering(1, 2)).classify(picture, top_k=0)


def test_a_result_says_what_was_done(picture, model, green, any_engine):
    with Classifier(model, device="cpu") as classifier:
        result = classifier.classify(green, region=(0, 0, 0.5, 0.5))
    done = result.preprocessing
    assert result.image == str(green) and result.model == str(model) and result.device == "cpu"
    assert result.error is None and not result.recovered
    assert done.source_size == (16, 16) and done.input_size == (8, 8) and done.region == (0, 0, 8, 8)
    assert (done.fit, done.orientation, done.saturated) == ("squash", "none", 0.0)
    assert (done.mean, done.std, done.normalization_from) == (0.0, pytest.approx(255.0), "input range 0 to 1")
    assert [p.label for p in result.predictions] == ["green", "blue", "red"]
    record = result.to_dict()
    assert list(record) == ["image", "model", "device", "device_reason", "predictions", "preprocess_ms",
                            "inference_ms", "error"]
    assert record["predictions"][0] == {"class_id": 1, "label": "green", "score": pytest.approx(200 / 255)}


@pytest.mark.parametrize("dtype, scale, zero_point", [("uint8", 1 / 255, 0), ("int8", 1 / 255, -128),
                                                      ("float32", 0.0, 0)])
def test_every_dtype_works_on_every_engine(tmp_path, engine, green_pixels, dtype, scale, zero_point):
    path = tmp_path / "m.tflite"
    path.write_bytes(colours(dtype=dtype, scale=scale, zero_point=zero_point, labels=LABELS,
                             normalization=([0.0], [255.0])))
    with Classifier(path, engine=engine) as classifier:
        best = classifier.classify(green_pixels).predictions
    assert [p.label for p in best] == ["green", "blue", "red"]
    assert [p.score for p in best] == pytest.approx([200 / 255, 100 / 255, 0.0], abs=0.005)


def test_an_efficientnet_is_known_by_content_and_normalized(tmp_path, any_engine, monkeypatch):
    path = tmp_path / "renamed.tflite"
    content = colours(scale=0.012566, zero_point=131)
    path.write_bytes(content)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    known = passports.load_manifest()[0]
    assert (known.name, known.mean, known.std) == ("efficientnet-edgetpu-s", 127, 128)
    disguised = known._replace(files={"cpu": {"name": "x", "git_blob": blob, "sha256": None}}, labels=None)
    monkeypatch.setattr(passports, "load_manifest", lambda: (disguised,))
    seen = []
    with Classifier(path, device="cpu") as classifier:
        run = classifier._session.run
        monkeypatch.setattr(classifier._session, "run", lambda tensor: seen.append(tensor) or run(tensor))
        for pixel in range(256):
            result = classifier.classify(np.full((8, 8, 3), pixel, np.uint8))
    assert result.preprocessing.normalization_from == "passport of efficientnet-edgetpu-s"
    scale = float(np.float32(0.012566))
    exact = [min(max(round((p - 127) / (128 * scale)) + 131, 0), 255) for p in range(256)]
    assert [int(tensor[0, 0, 0, 0]) for tensor in seen] == exact


def test_an_unknown_normalization_warns_once(tmp_path, any_engine, caplog, green_pixels):
    path = tmp_path / "m.tflite"
    path.write_bytes(colours(scale=0.012566, zero_point=131))
    with caplog.at_level(logging.WARNING, "coral_classify"):
        with Classifier(path) as classifier:
            classifier.classify(green_pixels)
            classifier.classify(green_pixels)
    assert len(caplog.records) == 1 and "mean 127 and std 128 are assumed" in caplog.text
    caplog.clear()
    Classifier(path, mean=0, std=1).close()
    assert not caplog.records


def test_an_embedding_extractor_is_no_classifier(testdata):
    path = testdata / "models" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
    with Classifier(path) as classifier, pytest.raises(ModelError, match="gives features, not classes"):
        classifier.wanted()     # its content is no published one's: its shape says so
    with Classifier(path, labels=["feature %d" % n for n in range(1024)]) as classifier:
        assert classifier.output.shape == (1, 1024)     # whoever names them has his way
    known = [p for p in passports.load_manifest() if p.kind == "embedding"]
    assert {p.name for p in known} == {"efficientnet-edgetpu-%s-embedding" % size for size in "sml"}


def test_labels_come_from_the_caller_the_file_or_the_passport(tmp_path, model, any_engine):
    assert Classifier(model).labels == tuple(LABELS)
    names = tmp_path / "names.txt"
    names.write_text("rouge\nvert\nbleu\n")
    assert Classifier(model, labels=names).labels == ("rouge", "vert", "bleu")
    assert Classifier(model, labels=["a", "b", "c"]).labels == ("a", "b", "c")
    with pytest.raises(LabelsError, match="2 names, but the model has 3 classes"):
        Classifier(model, labels=["a", "b"])


def test_bare_names_are_found_in_the_users_folder(tmp_path, model, any_engine, monkeypatch):
    home = tmp_path / "home"
    for kind in ("models", "labels"):
        (home / kind).mkdir(parents=True)
    shutil.move(str(model), str(home / "models" / "mine.tflite"))
    (home / "labels" / "mine.txt").write_text("a\nb\nc\n")
    with Classifier("mine.tflite", labels="mine.txt") as classifier:
        assert classifier.labels == ("a", "b", "c")
    with pytest.raises(ModelError, match="other.tflite: no such file, and no model of that name"):
        Classifier("other.tflite")


def test_a_compiled_model_on_the_cpu_is_its_twin(tmp_path, model, any_engine, green_pixels):
    compiled = tmp_path / "colours_edgetpu.tflite"
    compiled.write_bytes(colours(compiled=True))
    with Classifier(compiled, device="cpu") as classifier:
        result = classifier.classify(green_pixels)
    assert result.model == str(model)
    assert result.device_reason == "asked for the CPU; colours.tflite is the CPU twin"
    assert result.predictions[0].label == "green"       # the twin's labels serve
    model.unlink()
    with pytest.raises(DeviceError, match="CPU twin .*colours.tflite is missing"):
        Classifier(compiled, device="cpu")


def test_a_twin_of_another_shape_is_refused(tmp_path, any_engine):
    compiled = tmp_path / "m_edgetpu.tflite"
    compiled.write_bytes(colours(compiled=True))
    (tmp_path / "m.tflite").write_bytes(colours(size=(16, 16)))
    with pytest.raises(ModelError, match="is no twin"):
        Classifier(compiled, device="cpu")


def test_a_plain_model_on_a_named_device_wants_its_compiled_file(model):
    with pytest.raises(DeviceError, match="put colours_edgetpu.tflite beside it"):
        Classifier(model, device="usb:0")


def test_pad_fills_with_the_mean(any_engine, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(colours())
    with Classifier(path, fit="pad", mean=(10, 20, 30), std=255) as classifier:
        assert classifier._fill == (10, 20, 30)


def test_threads_may_share_a_classifier(model, any_engine):
    answers = []
    with Classifier(model) as classifier:
        def work(channel):
            pixels = np.zeros((8, 8, 3), np.uint8)
            pixels[..., channel] = 255
            for _ in range(50):
                answers.append(classifier.classify(pixels).predictions[0].class_id == channel)
        threads = [threading.Thread(target=work, args=(channel,)) for channel in (0, 1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 150 and all(answers)


def test_after_close_it_says_so(model, any_engine, green_pixels):
    classifier = Classifier(model)
    classifier.close()
    with pytest.raises(SessionClosed, match="make a new Classifier"):
        classifier.classify(green_pixels)


def test_without_a_model_the_next_step_is_named(monkeypatch):
    from coral_classify.placement import opening
    monkeypatch.setattr(opening, "_DEFAULT_MODEL", "not-there.tflite")
    with pytest.raises(ModelError, match="--model"):
        Classifier()


def test_a_session_with_float_output_is_ranked_as_it_is():
    session = FakeSession(lambda tensor: np.array([[0.1, 0.9]], np.float32),
                          output=TensorSpec((1, 2), np.dtype(np.float32), Quantization(0.0, 0)))
    best = Classifier(session, mean=0, std=1).classify(np.zeros((224, 224, 3), np.uint8)).predictions
    assert [(p.class_id, round(p.score, 3)) for p in best] == [(1, 0.9), (0, 0.1)]


def test_without_a_name_the_package_s_own_model_answers_and_says_whether_it_is_sure(any_engine):
    """A cat at an odd angle: it is a cat, and the model admits that it is not sure; a flat colour is no thing."""
    with Classifier() as classifier:
        assert classifier.normalization.source == "passport of everyday-objects"
        cat = classifier.classify(REPOSITORY / "examples" / "chelsea.png")
        grey = classifier.classify(np.full((50, 50, 3), 128, np.uint8))
    assert (cat.predictions[0].label, cat.sure) == ("cat", False)
    assert grey.sure is False


@pytest.mark.parametrize("best, expected", [
    ([("cup", 0.9), ("shoe", 0.05)], True), ([("cup", 0.7), ("shoe", 0.05)], False),
    ([("cup", 0.9), ("shoe", 0.85)], False), ([("other", 0.99), ("shoe", 0.0)], False), ([("cup", 0.9)], True)])
def test_the_sure_rule(best, expected):
    assert Sure(0.8, 0.2, ("other",)).holds(best) is expected


def test_a_sure_answer_is_not_sure_when_the_caller_denied_it(monkeypatch, model, any_engine, green_pixels):
    with Classifier(model) as classifier:
        monkeypatch.setattr(classifier, "_sure", Sure(0.5, 0.1, ()))
        assert classifier.classify(green_pixels).sure is True
        assert classifier.classify(green_pixels, top_k=1).to_dict()["sure"] is True
        assert classifier.classify(green_pixels, deny=["green"]).sure is False
        assert classifier.classify(green_pixels, threshold=2.0).sure is False


def test_a_model_without_a_measured_rule_says_nothing_of_being_sure(model, any_engine, green_pixels):
    with Classifier(model) as classifier:
        result = classifier.classify(green_pixels)
    assert result.sure is None and "sure" not in result.to_dict()


def seen_by(tensor):
    """A network that knows a thing by its left edge, and is surer of it where the picture is not mirrored."""
    left = int(tensor[0, 0, 0, 0])
    return np.array([[left, 255 - left]], np.uint8)


@pytest.mark.parametrize("pixels, views, expected", [
    ("one colour", ("mirror", "middle"), True), ("left edge", (), True), ("left edge", ("mirror",), False),
    ("left edge", ("middle",), False), ("left half", ("middle",), True), ("left half", ("middle", "mirror"), False)])
def test_a_sure_answer_is_the_same_in_other_views(monkeypatch, pixels, views, expected):
    picture = np.zeros((224, 224, 3), np.uint8)
    picture[:, :{"one colour": 224, "left edge": 1, "left half": 112}[pixels]] = 255
    session = FakeSession(seen_by, output=TensorSpec((1, 2), np.dtype(np.uint8), Quantization(1 / 256, 0)))
    with Classifier(session, mean=0, std=1) as classifier:
        monkeypatch.setattr(classifier, "_sure", Sure(0.8, 0.0, (), views))
        assert classifier.classify(picture).sure is expected
        assert [result.sure for result in classifier.stream([picture, picture, picture])] == [expected] * 3


def test_other_views_are_asked_only_of_an_answer_that_may_be_sure(monkeypatch):
    asked = []

    def network(tensor):
        asked.append(tensor)
        return np.array([[100, 155]], np.uint8)

    session = FakeSession(network, output=TensorSpec((1, 2), np.dtype(np.uint8), Quantization(1 / 256, 0)))
    with Classifier(session, mean=0, std=1) as classifier:
        monkeypatch.setattr(classifier, "_sure", Sure(0.8, 0.0, (), ("mirror", "middle")))
        assert classifier.classify(np.zeros((224, 224, 3), np.uint8)).sure is False
    assert len(asked) == 1
