from __future__ import annotations

import numpy as np
import pytest

from coral_classify.errors import UsageError
from coral_classify.pictures.normalization import Normalization, PixelTable, choose, table
from coral_classify.types import Quantization, TensorSpec

EFFICIENTNET = (0.012566, 131)


def spec(dtype, scale, zero_point, size=16):
    return TensorSpec((1, size, size, 3), np.dtype(dtype), Quantization(scale, zero_point))


@pytest.mark.parametrize("dtype, zero_point", [("uint8", 131), ("int8", 3)])
def test_every_pixel_value_is_quantized_exactly(dtype, zero_point):
    scale = float(np.float32(EFFICIENTNET[0]))
    stored = table(spec(dtype, scale, zero_point), Normalization((127.0,), (128.0,), "caller"))
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    for pixel in range(256):
        exact = round((pixel - 127.0) / (128.0 * scale)) + zero_point
        assert stored[pixel] == min(max(exact, low), high), pixel


def test_halves_round_to_even_as_in_python():
    stored = table(spec("uint8", 1.0, 0), Normalization((0.0,), (2.0,), "caller"))
    assert list(stored[:6]) == [0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("dtype, scale, zero_point", [
    ("uint8", 1 / 128, 128), ("uint8", 1 / 127.5, 127), ("uint8", 1 / 255, 0), ("uint8", 1.0, 0),
    ("int8", 1 / 128, 0), ("int8", 1 / 255, -128), ("int8", 1.0, -128), ("uint8", 0.0, 0)])
def test_a_pixel_like_range_leaves_the_pixel_unchanged(dtype, scale, zero_point):
    chosen = choose(spec(dtype, scale, zero_point))
    assert chosen.unchanged and chosen.warning is None
    assert list(table(spec(dtype, scale, zero_point), chosen).astype(int) - np.iinfo(dtype).min) == list(range(256))


def test_the_sources_have_an_order():
    caller, passport, metadata = (1.0, 2.0), (127.0, 128.0, "a model"), ((10.0,), (20.0,))
    odd = spec("uint8", *EFFICIENTNET)
    assert choose(odd, caller=caller, passport=passport, metadata=metadata).source == "caller"
    assert choose(odd, passport=passport, metadata=metadata).source == "passport of a model"
    assert choose(odd, metadata=metadata)[:3] == ((10.0,), (20.0,), "metadata")
    last = choose(odd)
    assert last[:3] == ((127.0,), (128.0,), "default")
    assert "--mean" in last.warning


def test_metadata_that_means_the_pixel_itself_leaves_it_unchanged():
    # The public MobileNet files: declared 127.5 / 127.5, stored 1/128 and 128.
    assert choose(spec("uint8", 1 / 128, 128), metadata=((127.5,), (127.5,))).unchanged
    assert not choose(spec("uint8", *EFFICIENTNET), metadata=((127.5,), (127.5,))).unchanged


def test_mean_and_std_belong_together():
    with pytest.raises(UsageError, match="std is missing"):
        choose(spec("uint8", 1, 0), caller=(127.0, None))
    with pytest.raises(UsageError, match="std must be positive"):
        choose(spec("uint8", 1, 0), caller=(127.0, 0.0))
    with pytest.raises(UsageError, match="one number or three"):
        choose(spec("uint8", 1, 0), caller=([1, 2], 1.0))


@pytest.mark.parametrize("dtype, scale, zero_point", [("uint8", *EFFICIENTNET), ("int8", 0.02, 5), ("float32", 0.0, 0)])
@pytest.mark.parametrize("mean, std", [(127.0, 128.0), ((120.0, 115.0, 100.0), (60.0, 50.0, 40.0))])
def test_a_picture_is_stored_by_the_formula(dtype, scale, zero_point, mean, std):
    pixels = np.random.RandomState(0).randint(0, 256, (16, 16, 3)).astype(np.uint8)
    target = spec(dtype, scale, zero_point)
    stored = PixelTable(target, choose(target, caller=(mean, std))).apply(pixels)
    real = (pixels - np.asarray(mean, np.float64)) / np.asarray(std, np.float64)
    if dtype == "float32":
        expected = real.astype(np.float32)
    else:
        limits = np.iinfo(dtype)
        expected = np.clip(np.rint((pixels - np.asarray(mean, np.float64)) / (np.asarray(std, np.float64) * scale))
                           + zero_point, limits.min, limits.max).astype(dtype)
    assert stored.shape == target.shape and stored.dtype == target.dtype
    assert (stored[0] == expected).all()


def test_the_identity_costs_nothing():
    pixels = np.zeros((16, 16, 3), np.uint8)
    target = spec("uint8", 1 / 255, 0)
    assert np.shares_memory(PixelTable(target, choose(target)).apply(pixels), pixels)


def test_the_share_of_saturated_values_is_counted():
    target = spec("uint8", 1 / 255, 0)
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:4] = 255
    # (255 - 0) / (127.5 / 255) = 510: cut off; 0 stays 0
    double = PixelTable(target, choose(target, caller=(0.0, 127.5)))
    assert double.saturated(pixels) == 0.25
    assert PixelTable(target, choose(target)).saturated(pixels) == 0.0
