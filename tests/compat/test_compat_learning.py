"""New classes on the device: weight imprinting and softmax regression, as programs for pycoral use them."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tflite_writer import colours

from coral_classify.compat import classify, common
from coral_classify.compat.imprinting import ImprintingEngine
from coral_classify.compat.interpreter import Interpreter
from coral_classify.compat.softmax_regression import SoftmaxRegression
from coral_classify.modelfiles.graph import read_graph
from coral_classify.modelfiles.writer import Constant, Layer, rewrite
from coral_classify.types import Quantization, TensorSpec

UINT8 = np.dtype(np.uint8)


def with_tail(content, classes, factor=48):
    """A model that can be imprinted: unit length, then the tail of Google's l2norm models, with random classes."""
    features = read_graph(content).tensors[read_graph(content).outputs[0]].shape[-1]
    kernel = np.random.RandomState(1).randint(0, 256, (classes, 1, 1, features)).astype(np.uint8)
    unit, logits = Quantization(1 / 128, 128), Quantization(2 / 255, 128)
    return rewrite(content, layers=[
        Layer("L2_NORMALIZATION", TensorSpec((1, 1, 1, features), UINT8, unit), name="features"),
        Layer("CONV_2D", TensorSpec((1, 1, 1, classes), UINT8, logits), (
            Constant(kernel, (1 / 128,), (128,), "kernel"),
            Constant(np.zeros(classes, np.int32), (1 / 128 / 128,), (0,), "bias")), "cosines"),
        Layer("MUL", TensorSpec((1, 1, 1, classes), UINT8, Quantization(2 * factor / 255, 128)), (
            Constant(np.array([255], np.uint8), (factor / 255,), (0,), "factor"),), "logits"),
        Layer("RESHAPE", TensorSpec((1, classes), UINT8, Quantization(2 * factor / 255, 128)), (
            Constant(np.array([1, classes], np.int32), name="shape"),), "flat"),
        Layer("SOFTMAX", TensorSpec((1, classes), UINT8, Quantization(1 / 256, 0)), (), "scores"),
    ])


@pytest.fixture(params=[False, True], ids=["plain", "compiled"])
def small(request, tmp_path):
    """An imprintable model of mean colours."""
    path = tmp_path / "small.tflite"
    path.write_bytes(with_tail(colours(compiled=request.param), 4))
    return str(path)


def ready(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def seen(interpreter, colour):
    common.set_input(interpreter, Image.new("RGB", (8, 8), colour))
    interpreter.invoke()
    return classify.get_scores(interpreter)


def test_new_classes_from_one_picture_each(tmp_path, any_engine):
    path = tmp_path / "small.tflite"
    path.write_bytes(with_tail(colours(), 4))
    engine = ImprintingEngine(str(path))
    assert (engine.embedding_dim, engine.num_classes) == (3, 0)
    extractor = ready(engine.serialize_extractor_model())
    for class_id, colour in enumerate([(250, 10, 10), (10, 250, 10)]):
        features = seen(extractor, colour)
        assert len(features) == 3 and np.linalg.norm(features) == pytest.approx(1, abs=0.02)
        engine.train(features, class_id)
    engine.train(seen(extractor, (230, 60, 30)), class_id=0)
    trained = ready(engine.serialize_model())
    assert classify.num_classes(trained) == engine.num_classes == 2
    for class_id, colour in enumerate([(255, 40, 0), (40, 255, 0)]):
        assert seen(trained, colour).argmax() == class_id and seen(trained, colour).max() > 0.99


def test_training_is_taken_up_again(tmp_path, any_engine):
    paths = [str(tmp_path / name) for name in ("small.tflite", "red.tflite")]
    with open(paths[0], "wb") as file:
        file.write(with_tail(colours(), 4))
    first = ImprintingEngine(paths[0])
    extractor = ready(first.serialize_extractor_model())
    first.train(seen(extractor, (250, 10, 10)), 0)
    with open(paths[1], "wb") as file:
        file.write(first.serialize_model())
    again = ImprintingEngine(paths[1], keep_classes=True)
    assert again.num_classes == 1
    again.train(seen(extractor, (240, 30, 10)), 0)
    again.train(seen(extractor, (10, 10, 250)), 1)
    trained = ready(again.serialize_model())
    assert [seen(trained, colour).argmax() for colour in ("red", "blue")] == [0, 1]


def test_kept_classes_keep_their_weights(small):
    engine = ImprintingEngine(small, keep_classes=True)
    assert engine.num_classes == 4
    with pytest.raises(RuntimeError, match="Cannot change the base model classes not trained with imprinting method!"):
        engine.train(np.array([1, 0, 0]), 2)
    with pytest.raises(RuntimeError, match="The class index of a new category is too large!"):
        engine.train(np.array([1, 0, 0]), 5)
    with pytest.raises(RuntimeError, match="Invalid weights array shape."):
        engine.train(np.array([1, 0]), 4)
    engine.train(np.array([1, 0, 0]), 4)
    from coral_classify.modelfiles.graph import constant

    old, new = (open(small, "rb").read(), engine.serialize_model())
    kernels = []
    for content in (old, new):
        graph = read_graph(content)
        conv = next(one for one in graph.operators if one.kind == "CONV_2D")
        kernels.append(constant(content, graph.tensors[conv.inputs[1]]))
    assert kernels[1].shape == (5, 1, 1, 3) and (kernels[1][:4] == kernels[0]).all()
    assert kernels[1][4].ravel().tolist() == [255, 128, 128]


def test_what_cannot_be_imprinted_is_refused_in_pycorals_words(small, model):
    with pytest.raises(RuntimeError, match="Model is not trained."):
        ImprintingEngine(small).serialize_model()
    with pytest.raises(ValueError, match="Failed to open file: invalid_model_path.tflite"):
        ImprintingEngine("invalid_model_path.tflite")
    with pytest.raises(ValueError, match="Unsupported model architecture. Input model must have an L2Norm layer."):
        ImprintingEngine(str(model))


def test_cat_dog_and_hotdog_are_learnt_from_one_picture_each(testdata, tmp_path, any_engine):
    source = testdata / "models" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
    path = tmp_path / "l2norm.tflite"
    path.write_bytes(with_tail(source.read_bytes(), 10))
    engine = ImprintingEngine(str(path))
    extractor = ready(engine.serialize_extractor_model())

    def features(interpreter, name):
        with Image.open(str(testdata / "images" / "imprinting" / (name + ".bmp"))) as image:
            common.set_input(interpreter, image.convert("RGB").resize(common.input_size(interpreter), Image.NEAREST))
        interpreter.invoke()
        return classify.get_scores(interpreter)

    for class_id, names in enumerate([["cat_train_0"], ["dog_train_0"], ["hotdog_train_0", "hotdog_train_1"]]):
        for name in names:
            engine.train(features(extractor, name), class_id)
    trained = ready(engine.serialize_model())
    for class_id, name in enumerate(["cat_test_0", "dog_test_0", "hotdog_test_0"]):
        features(trained, name)
        best = classify.get_classes(trained, top_k=1)[0]
        assert best.id == class_id and best.score > 0.99


def clouds(means, count):
    data = np.concatenate([np.random.multivariate_normal(mean, np.eye(2), count // 3) for mean in means])
    labels = np.repeat(np.arange(3), count // 3)
    order = np.random.permutation(len(data))
    return data[order].astype(np.float32), labels[order]


@pytest.mark.parametrize("distance, steps, rate, expected", [(3, 20, 0.01, 0.99), (1.3, 50, 0.1, 0.8)])
def test_softmax_regression_parts_clouds(distance, steps, rate, expected, capsys):
    np.random.seed(12345)
    data, labels = clouds(np.array([[1, 1], [-1, -1], [1, -1]]) * distance, 231)
    regression = SoftmaxRegression(2, 3)
    regression.train_with_sgd({"data_train": data[:200], "labels_train": labels[:200], "data_val": data[200:],
                               "labels_val": labels[200:]}, steps, rate, batch_size=100, print_every=5)
    assert regression.get_accuracy(data[:200], labels[:200]) > expected
    assert capsys.readouterr().out.count("Iteration") == steps // 5


def test_a_trained_layer_goes_behind_the_model_that_gives_the_features(tmp_path, any_engine):
    path = tmp_path / "features.tflite"
    path.write_bytes(colours())
    np.random.seed(3)
    data = np.random.rand(300, 3).astype(np.float32)
    labels = data.argmax(axis=1)
    regression = SoftmaxRegression(3, 3)
    regression.train_with_sgd({"data_train": data, "labels_train": labels, "data_val": data, "labels_val": labels},
                              2000, 1.0, print_every=0)
    trained = ready(regression.serialize_model(str(path)))
    for class_id, colour in enumerate([(200, 40, 90), (40, 200, 90), (90, 40, 200)]):
        scores = seen(trained, colour)
        assert scores.argmax() == class_id and scores.sum() == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="gives 3 features of uint8; this classifier takes 7"):
        SoftmaxRegression(7, 2).serialize_model(str(path))
    with pytest.raises(ValueError, match="Failed to open file"):
        regression.serialize_model("nowhere.tflite")
    with pytest.raises(ValueError, match="are needed"):
        SoftmaxRegression()


def test_an_untrained_layer_can_be_written_behind_a_real_model(testdata):
    source = testdata / "models" / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
    content = SoftmaxRegression(1024, 5).serialize_model(str(source))
    assert read_graph(content).tensors[read_graph(content).outputs[0]].shape == (1, 5)
