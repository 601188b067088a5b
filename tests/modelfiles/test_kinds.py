"""Models that are no classifiers are told what they are; features are not sold as classes."""
from __future__ import annotations

import numpy as np
import pytest
from tflite_writer import Numbers, Scalar, Table, colours, flatbuffer, tensor

from coral_classify import Classifier
from coral_classify.cli import main
from coral_classify.errors import ModelError
from coral_classify.modelfiles import Passport, passports, read_model, twin_path


def network(outputs, *, custom="fake", dtype="uint8", code=32, scale=1 / 256, picture=(1, 8, 8, 3)):
    """A file of one operator with these output shapes."""
    tensors = [tensor("image", picture, "uint8", 1.0, 0)]
    tensors += [tensor("out", shape, dtype, scale, 0) for shape in outputs]
    operator = {0: Scalar("uint32", 0), 1: Numbers("int32", [0]), 2: Numbers("int32", range(1, len(tensors)))}
    if code == 1:
        pool = Table({0: Scalar("int8", 1), 1: Scalar("int32", 1), 2: Scalar("int32", 1), 3: Scalar("int32", 8),
                      4: Scalar("int32", 8)})
        operator.update({3: Scalar("uint8", 5), 4: pool})
    graph = Table({0: tensors, 1: Numbers("int32", [0]), 2: Numbers("int32", range(1, len(tensors))),
                   3: [Table(operator)]})
    kind = Table({0: Scalar("int8", code), 1: custom, 2: Scalar("int32", 1), 3: Scalar("int32", code)})
    return flatbuffer(Table({0: Scalar("uint32", 3), 1: [kind], 2: [graph], 4: [Table({})]}), b"TFL3")


@pytest.mark.parametrize("content, what", [
    (network([(1, 20, 4), (1, 20), (1, 20), (1,)], custom="TFLite_Detection_PostProcess"), "it detects objects"),
    (network([(1, 1917, 4), (1, 1917, 91)]), "it detects objects"),
    (network([(1, 8, 8)], dtype="int32"), "it segments pictures: a class for each of 8 x 8 places"),
    (network([(1, 4, 4, 21)]), "it segments pictures"), (network([(1, 16, 16, 3)]), "it makes pictures of pictures"),
    (network([(1, 1, 17, 3)]), "it estimates poses"), (network([(1, 3)], custom="PosenetDecoderOp"), "estimates poses"),
    (network([(1, 4, 4, 1280)]), "it gives feature maps of 4 x 4 x 1280"),
    (network([(1, 3), (1, 3)]), "1 inputs and 2 outputs"), (network([(1, 3)], picture=(1, 16000)), "the input has")])
def test_a_refusal_says_what_the_model_is(tmp_path, content, what):
    (tmp_path / "other.tflite").write_bytes(content)
    with pytest.raises(ModelError, match="other.tflite: not an image classifier: .*" + what):
        read_model(tmp_path / "other.tflite")


@pytest.mark.parametrize("content", [
    network([(1, 1, 1, 100)], code=1, scale=0.05, picture=(1, 8, 8, 3)),
    network([(1, 100)], custom="edgetpu-custom-op", scale=0.05), network([(1, 1, 1, 100)], dtype="float32", code=1)])
def test_features_are_not_classified_unless_classes_are_named(tmp_path, content, capsys, green):
    path = tmp_path / "extractor.tflite"
    path.write_bytes(content)
    assert "100 numbers" in read_model(path).features
    assert main([str(green), "--model", str(path)]) == 1
    capsys.readouterr()
    assert main(["models", "info", str(path)]) == 0
    assert "no: it gives features" in capsys.readouterr().out
    with pytest.raises(Exception) as named:
        Classifier(path, device="cpu", labels=["a"] * 100)
    assert "gives features" not in str(named.value)


@pytest.mark.parametrize("content", [network([(1, 100)]), network([(1, 100)], code=25, scale=0.5),
                                     network([(1, 10)], scale=1.0), colours(scale=1.0)])
def test_probabilities_and_small_networks_are_classes(tmp_path, content):
    (tmp_path / "m.tflite").write_bytes(content)
    assert read_model(tmp_path / "m.tflite").features is None


def test_the_published_extractors_are_features_and_the_classifiers_are_not(testdata, any_engine):
    for path in sorted((testdata / "models").glob("mobilenet*.tflite")):
        assert bool(read_model(path).features) == ("embedding_extractor" in path.name), path.name
    for name in ("", "_edgetpu"):
        path = testdata / "models" / ("mobilenet_v1_1.0_224_quant_embedding_extractor%s.tflite" % name)
        if name:
            continue        # no Edge TPU here; its twin answers for it
        with Classifier(path, device="cpu") as classifier:
            with pytest.raises(ModelError, match="gives features, not classes"):
                classifier.classify(testdata / "images" / "cat.bmp")
            with pytest.raises(ModelError, match="gives features, not classes"):
                classifier.stream([])


def test_a_model_compiled_together_with_others_finds_its_twin_and_its_passport(tmp_path, monkeypatch, any_engine):
    (tmp_path / "c.tflite").write_bytes(colours())
    together = tmp_path / "c_cocompiled_with_3quant_edgetpu.tflite"
    together.write_bytes(colours(compiled=True))
    assert twin_path(together) == tmp_path / "c.tflite"
    passport = Passport("colours", "Colours", "classification", {"cpu": {"name": "c.tflite", "git_blob": "0" * 40}},
                        None, 0, 3, 0.0, 255.0, input_size=8)
    monkeypatch.setattr(passports, "load_manifest", lambda: (passport,))
    assert passports.by_file(together).name == "colours"
    with Classifier(together, device="cpu") as classifier:
        assert classifier.model.endswith("c.tflite")
        assert classifier.classify(np.zeros((8, 8, 3), np.uint8)).predictions
    # The name alone is not believed.
    monkeypatch.setattr(passports, "load_manifest", lambda: (passport._replace(classes=1001),))
    assert passports.by_file(together) is None
    together.write_bytes(colours())
    assert passports.by_file(together) is None
