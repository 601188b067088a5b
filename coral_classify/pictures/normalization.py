"""Which mean and std a model wants, where that is known from, and the table that turns pixels into stored values.

Pure NumPy.  The formula is the one of the TFLite quantization specification applied to a normalized pixel:
``q = clip(round((pixel - mean) / (std * scale)) + zero_point)``.
"""
from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..types import TensorSpec

__all__ = ["Normalization", "choose", "table", "PixelTable"]

Channels = Tuple[float, ...]        # one value for all channels, or three

# Real ranges of a quantized input for which stored value and pixel are the same thing.
_PIXEL_RANGES = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
DEFAULT_MEAN, DEFAULT_STD = 127.0, 128.0


class Normalization(NamedTuple):
    """``real = (pixel - mean) / std``; ``unchanged`` means that pixels are stored as they are."""

    mean: Channels
    std: Channels
    source: str                 # "caller", "passport …", "metadata", "input range", "default"
    unchanged: bool = False
    warning: Optional[str] = None


def choose(
    spec: TensorSpec,
    *,
    caller: Optional[Tuple[Optional[Union[float, Sequence[float]]], Optional[Union[float, Sequence[float]]]]] = None,
    passport: Optional[Tuple[float, float, str]] = None,
    metadata: Optional[Tuple[Channels, Channels]] = None,
) -> Normalization:
    """The normalization of a model, from the first source that knows it.

    :param caller: (mean, std); both or neither
    :param passport: (mean, std, name of the model) of a file known by its content
    :param metadata: (means, stds) that the file declares
    :raises UsageError: if only one of mean and std is given, or std is not positive
    """
    if caller is not None and (caller[0] is not None or caller[1] is not None):
        mean, std = _channels(caller[0], "mean"), _channels(caller[1], "std")
        if min(std) <= 0:
            raise UsageError("std must be positive, got %s" % (std,))
        return Normalization(mean, std, "caller")
    if passport is not None:
        return Normalization((passport[0],), (passport[1],), "passport of %s" % passport[2])
    if metadata is not None:
        # The public MobileNet files declare 127.5 / 127.5 where scale and zero point say 128 / 128: that is
        # the pixel itself, up to the rounding of the declaration.
        unchanged = _is_nearly_pixel(spec, *metadata)
        return Normalization(metadata[0], metadata[1], "metadata", unchanged)
    low, high = _real_range(spec)
    if spec.dtype.kind != "f":
        if spec.quantization.scale == 0.0:
            return Normalization((0.0,), (1.0,), "input without quantization", True)
        for bottom, top in _PIXEL_RANGES:
            if abs(low - bottom) <= 0.02 * (top - bottom) and abs(high - top) <= 0.02 * (top - bottom):
                step = 1.0 / spec.quantization.scale
                offset = spec.quantization.zero_point - np.iinfo(spec.dtype).min
                return Normalization((float(offset),), (step,), "input range %.3g to %.3g" % (low, high), True)
    warning = (
        "normalization unknown (%s): mean %g and std %g are assumed; "
        "give --mean and --std (mean=, std= in Python) if the model was trained otherwise"
        % ("float input" if spec.dtype.kind == "f" else "input range %.3g to %.3g" % (low, high),
           DEFAULT_MEAN, DEFAULT_STD)
    )
    return Normalization((DEFAULT_MEAN,), (DEFAULT_STD,), "default", warning=warning)


def _channels(value: Optional[Union[float, Sequence[float]]], name: str) -> Channels:
    if value is None:
        raise UsageError("mean and std belong together; %s is missing" % name)
    values = tuple(float(v) for v in np.atleast_1d(np.asarray(value, dtype=np.float64)))
    if len(values) not in (1, 3) or not all(np.isfinite(values)):
        raise UsageError("%s must be one number or three (red, green, blue), got %r" % (name, value))
    return values


def _real_range(spec: TensorSpec) -> Tuple[float, float]:
    if spec.dtype.kind == "f":
        return float("-inf"), float("inf")
    scale, zero_point = spec.quantization
    limits = np.iinfo(spec.dtype)
    return scale * (limits.min - zero_point), scale * (limits.max - zero_point)


def _is_nearly_pixel(spec: TensorSpec, mean: Channels, std: Channels) -> bool:
    if spec.dtype.kind == "f" or spec.quantization.scale == 0.0:
        return spec.dtype.kind != "f"
    stored = table(spec, Normalization(mean, std, "")).reshape(-1, 256).astype(int)
    return bool(np.abs(stored - np.iinfo(spec.dtype).min - np.arange(256)).max() <= 1)


def table(spec: TensorSpec, normalization: Normalization) -> "np.ndarray[Any, Any]":
    """Stored value of every pixel value.

    :returns: (256,), or (3, 256) where the channels differ, in the dtype of the input
    """
    pixels = np.arange(256, dtype=np.float64)
    if normalization.unchanged:
        return (pixels + np.iinfo(spec.dtype).min).astype(spec.dtype)
    mean, std = (np.asarray(v, dtype=np.float64)[:, None] for v in (normalization.mean, normalization.std))
    real = (pixels - mean) / std
    if spec.dtype.kind == "f":
        stored = real.astype(spec.dtype)
    else:
        limits = np.iinfo(spec.dtype)
        scale = spec.quantization.scale or 1.0
        # (pixel - mean) / (std * scale), in this order, so that a float64 check by hand gives the same halves.
        stored = np.clip(np.rint((pixels - mean) / (std * scale)) + spec.quantization.zero_point,
                         limits.min, limits.max).astype(spec.dtype)
    return stored[0] if len(stored) == 1 or (stored == stored[0]).all() else stored


class PixelTable:
    """Turns (h, w, 3) uint8 pixels into the stored input, at the price of one table look-up, or of nothing."""

    def __init__(self, spec: TensorSpec, normalization: Normalization) -> None:
        self.normalization = normalization
        self._dtype = spec.dtype
        self._shape = spec.shape
        self._table = table(spec, normalization)
        self._identity = spec.dtype == np.uint8 and self._table.ndim == 1 and bool(
            (self._table == np.arange(256)).all())
        self._bytes = self._table.tobytes() if spec.dtype.itemsize == 1 and self._table.ndim == 1 else None
        self._clipped = self._clipped_pixels(spec)

    def _clipped_pixels(self, spec: TensorSpec) -> Optional["np.ndarray[Any, Any]"]:
        """(3, 256) booleans: which pixel values the quantization cuts off; None if none."""
        if spec.dtype.kind == "f" or self.normalization.unchanged:
            return None
        mean, std = (np.asarray(v, dtype=np.float64)[:, None]
                     for v in (self.normalization.mean, self.normalization.std))
        scale, zero_point = spec.quantization
        exact = np.rint((np.arange(256) - mean) / (std * (scale or 1.0))) + zero_point
        limits = np.iinfo(spec.dtype)
        clipped = np.broadcast_to((exact < limits.min) | (exact > limits.max), (3, 256))
        return clipped if clipped.any() else None

    def apply(self, pixels: "np.ndarray[Any, Any]",
              into: "Optional[np.ndarray[Any, Any]]" = None) -> "np.ndarray[Any, Any]":
        """The stored input for *pixels*.

        :param pixels: (h, w, 3) uint8
        :param into: (1, h, w, 3) in the input's dtype, to be filled; None: a new one, or the pixels themselves where
            nothing changes
        :returns: (1, h, w, 3) in the input's dtype
        """
        if self._identity:
            stored = pixels
        elif self._bytes is not None:
            # bytes.translate is the fastest table look-up within reach: 0.6 of the time of NumPy's take.
            stored = np.frombuffer(pixels.tobytes().translate(self._bytes), self._dtype)
        elif self._table.ndim == 1:
            stored = self._table[pixels]
        else:
            stored = np.stack([self._table[c][pixels[..., c]] for c in range(3)], axis=-1)
        if into is None:
            return np.ascontiguousarray(stored.reshape(self._shape))
        into[...] = stored.reshape(self._shape)
        return into

    def saturated(self, pixels: "np.ndarray[Any, Any]") -> float:
        """The share of stored values that the quantization cut off."""
        if self._clipped is None:
            return 0.0
        counts = np.stack([np.bincount(pixels[..., c].ravel(), minlength=256) for c in range(3)])
        return float((counts * self._clipped).sum() / pixels.size)
