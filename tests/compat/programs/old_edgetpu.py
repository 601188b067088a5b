"""The same with the edgetpu package, as a program of 2019 does."""
# ruff: noqa  (as it was written)
import argparse

import numpy as np
from edgetpu.classification.engine import ClassificationEngine
from edgetpu.utils import dataset_utils
from PIL import Image


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--model', required=True)
    parser.add_argument('--label', required=True)
    parser.add_argument('--image', required=True)
    parser.add_argument('--count', type=int, default=1)
    args = parser.parse_args()

    labels = dataset_utils.read_label_file(args.label)
    engine = ClassificationEngine(args.model)
    pixels = np.array(Image.open(args.image).convert('RGB'))
    for number in range(args.count):
        img = Image.fromarray(pixels + np.uint8(number % 256))
        for result in engine.classify_with_image(img, top_k=1, threshold=0.0):
            print('%s: %.5f' % (labels[result[0]], result[1]))


if __name__ == '__main__':
    main()
