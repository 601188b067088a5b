"""One way to classify a picture, in a process of its own: ``python ways.py WAY MODEL THREADS``.

Reads lines "N PICTURE" (a path, or "array" for one that has the model's size already) and answers each with a JSON list
of N times in ms; "memory" is answered with the peak resident memory in MB.  Needs of this project only the way
"coral_classify".
"""
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

MEAN, STD = 128.0, 128.0


def engine(model, threads):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter, interpreter.get_input_details()[0], interpreter.get_output_details()[0]


def coral_classify(model, threads):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from coral_classify import Classifier

    classifier = Classifier(model, device="cpu", threads=threads)
    return classifier.input.shape[1:3], lambda picture: classifier.classify(picture, top_k=5)


def barest(model, threads):
    """Engine, Pillow and NumPy, written out, with scaled decoding."""
    from PIL import Image

    interpreter, given, wanted = engine(model, threads)
    height, width = given["shape"][1:3]
    scale, zero_point = wanted["quantization"]

    def classify(picture):
        if isinstance(picture, str):
            image = Image.open(picture)
            image.draft("RGB", (2 * width, 2 * height))
            picture = np.asarray(image.convert("RGB").resize((width, height), Image.LANCZOS))
        interpreter.set_tensor(given["index"], picture[None])
        interpreter.invoke()
        scores = interpreter.get_tensor(wanted["index"])[0]
        best = np.argpartition(scores, -5)[-5:]
        best = best[np.argsort(-scores[best].astype(int), kind="stable")]
        return [(int(i), (int(scores[i]) - zero_point) * scale) for i in best]
    return (height, width), classify


def pycoral_way(model, threads):
    """As PyCoral's documented example has it: full decoding, LANCZOS, float normalization, all classes sorted."""
    from PIL import Image

    interpreter, given, wanted = engine(model, threads)
    height, width = given["shape"][1:3]
    in_scale, in_zero = given["quantization"]
    scale, zero_point = wanted["quantization"]

    def classify(picture):
        if isinstance(picture, str):
            picture = np.asarray(Image.open(picture).convert("RGB").resize((width, height), Image.LANCZOS))
        normalized = (picture - MEAN) / (STD * in_scale) + in_zero
        interpreter.set_tensor(given["index"], np.clip(normalized, 0, 255).astype(np.uint8)[None])
        interpreter.invoke()
        scores = scale * (interpreter.get_tensor(wanted["index"])[0].astype(np.int64) - zero_point)
        return sorted(enumerate(scores), key=lambda pair: -pair[1])[:5]
    return (height, width), classify


def tasks(model, threads):
    """TF Task Library."""
    from tflite_support.task import core, processor, vision

    options = vision.ImageClassifierOptions(
        core.BaseOptions(file_name=model, num_threads=threads), processor.ClassificationOptions(max_results=5))
    classifier = vision.ImageClassifier.create_from_options(options)

    def classify(picture):
        image = vision.TensorImage.create_from_file(picture) if isinstance(picture, str) else \
            vision.TensorImage.create_from_array(picture)
        return classifier.classify(image)
    return (224, 224), classify


def mediapipe(model, threads):
    """MediaPipe Tasks; its number of threads cannot be set from Python."""
    import mediapipe as mp

    options = mp.tasks.vision.ImageClassifierOptions(
        base_options=mp.tasks.BaseOptions(model_asset_path=model), max_results=5)
    classifier = mp.tasks.vision.ImageClassifier.create_from_options(options)

    def classify(picture):
        image = mp.Image.create_from_file(picture) if isinstance(picture, str) else \
            mp.Image(image_format=mp.ImageFormat.SRGB, data=picture)
        return classifier.classify(image)
    return (224, 224), classify


def main():
    way, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    size, classify = globals()[way](model, threads)
    array = np.random.RandomState(0).randint(0, 256, tuple(size) + (3,)).astype(np.uint8)
    classify(array)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0), flush=True)
            continue
        count, picture = line.rstrip("\n").split(" ", 1)
        times = []
        for _ in range(int(count)):
            began = time.perf_counter()
            classify(array if picture == "array" else picture)
            times.append(1e3 * (time.perf_counter() - began))
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
