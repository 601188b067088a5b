"""Fit the latency estimate on the published times, and tell its leave-one-out error.

    python benchmarks/latency_fit.py

The times on a USB Accelerator are Coral's.  GMACs and parameters (millions, a byte each when quantized): for
EfficientNet-EdgeTPU its publisher's, for the others those of their papers and of TensorFlow's model pages; ResNet-50's
GMACs are scaled from 224 to 299 pixels.
"""
from __future__ import annotations

import itertools

import numpy as np

PUBLISHED = [   # name, GMACs, million parameters, ms
    ("EfficientNet-EdgeTPU-S", 2.35, 5.44, 5.1),
    ("EfficientNet-EdgeTPU-M", 3.66, 6.90, 8.7),
    ("EfficientNet-EdgeTPU-L", 9.66, 10.59, 25.3),
    ("MobileNet v1 1.0", 0.569, 4.24, 2.4),
    ("MobileNet v2 1.0", 0.300, 3.47, 2.6),
    ("Inception v1", 1.45, 6.62, 3.4),
    ("Inception v4", 12.27, 42.7, 85.0),
    ("ResNet-50 v1 (299)", 7.3, 25.6, 49.0),
    ("Inception-ResNet v2", 13.2, 55.8, 57.0),
    ("DenseNet-121", 2.87, 7.98, 20.0),
]
ON_CHIP_MB = 8.0


def fitted(features: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The non-negative coefficients with the least squared relative error."""
    weighted, ones = features / times[:, None], np.ones(len(times))
    best, least = np.zeros(features.shape[1]), np.inf
    for size in range(1, features.shape[1] + 1):
        for chosen in map(list, itertools.combinations(range(features.shape[1]), size)):
            found = np.linalg.lstsq(weighted[:, chosen], ones, rcond=None)[0]
            error = float(((weighted[:, chosen] @ found - ones) ** 2).sum())
            if (found >= 0).all() and error < least:
                best, least = np.zeros(features.shape[1]), error
                best[chosen] = found
    return best


def main() -> None:
    features = np.array([[1.0, gmacs, max(0.0, million - ON_CHIP_MB)] for _, gmacs, million, _ in PUBLISHED])
    times = np.array([ms for *_, ms in PUBLISHED])
    print("ms = %.3f + %.3f * GMACs + %.3f * MB beyond %g" % (*fitted(features, times), ON_CHIP_MB))
    print("\n| network | published ms | predicted from the others | ratio |\n|---|---|---|---|")
    ratios = []
    for i, (name, _, _, ms) in enumerate(PUBLISHED):
        others = np.arange(len(times)) != i
        predicted = float(features[i] @ fitted(features[others], times[others]))
        ratios.append(predicted / ms)
        print("| %s | %.1f | %.1f | %.2f |" % (name, ms, predicted, predicted / ms))
    print("\nmedian error %.0f %%, ratios from %.2f to %.2f" % (
        100 * np.median(np.abs(np.array(ratios) - 1)), min(ratios), max(ratios)))


if __name__ == "__main__":
    main()
