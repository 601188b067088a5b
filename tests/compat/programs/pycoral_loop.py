"""Classifies a picture again and again, as a program of 2020 does with PyCoral."""
# ruff: noqa  (as it was written)
import argparse
import time

from PIL import Image

from pycoral.adapters import classify
from pycoral.adapters import common
from pycoral.utils.dataset import read_label_file
from pycoral.utils.edgetpu import make_interpreter


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('-m', '--model', required=True, help='File path of .tflite file.')
    parser.add_argument('-i', '--input', required=True, help='Image to be classified.')
    parser.add_argument('-l', '--labels', help='File path of labels file.')
    parser.add_argument('-k', '--top_k', type=int, default=1)
    parser.add_argument('-t', '--threshold', type=float, default=0.0)
    parser.add_argument('-c', '--count', type=int, default=5)
    args = parser.parse_args()

    labels = read_label_file(args.labels) if args.labels else {}

    interpreter = make_interpreter(*args.model.split('@'))
    interpreter.allocate_tensors()

    size = common.input_size(interpreter)
    image = Image.open(args.input).convert('RGB').resize(size, Image.NEAREST)

    for number in range(args.count):
        # A picture of its own for each run, so that none can be mistaken for another.
        common.set_input(interpreter, image.point(lambda value, shift=number: (value + shift) % 256))
        start = time.perf_counter()
        interpreter.invoke()
        inference_time = time.perf_counter() - start
        assert inference_time > 0
        for c in classify.get_classes(interpreter, args.top_k, args.threshold):
            print('%s: %.5f' % (labels.get(c.id, c.id), c.score))


if __name__ == '__main__':
    main()
