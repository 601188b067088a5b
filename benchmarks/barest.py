"""The barest script that classifies a picture: an engine, Pillow with scaled decoding, and NumPy.

    python benchmarks/barest.py MODEL THREADS PICTURE
"""
import sys

import numpy as np
from PIL import Image

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter


def load(model, threads):
    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter, interpreter.get_input_details()[0], interpreter.get_output_details()[0]


def classify(loaded, picture):
    """The five best as (class, score), best first; *picture*: a path, or an array of the model's size."""
    interpreter, given, wanted = loaded
    height, width = given["shape"][1:3]
    if isinstance(picture, str):
        image = Image.open(picture)
        image.draft("RGB", (2 * width, 2 * height))
        picture = np.asarray(image.convert("RGB").resize((width, height), Image.LANCZOS))
    interpreter.set_tensor(given["index"], picture[None])
    interpreter.invoke()
    scores = interpreter.get_tensor(wanted["index"]).flatten()
    scale, zero_point = wanted["quantization"]
    count = min(5, len(scores))
    best = np.argpartition(scores, -count)[-count:]
    best = best[np.argsort(-scores[best].astype(int), kind="stable")]
    return [(int(i), (int(scores[i]) - zero_point) * scale) for i in best]


if __name__ == "__main__":
    for class_id, score in classify(load(sys.argv[1], int(sys.argv[2])), sys.argv[3]):
        print("%5d %.4f" % (class_id, score))
