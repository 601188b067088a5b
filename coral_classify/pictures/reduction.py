"""A decoded picture of any mode -> the few RGB pixels that are wanted, without a second copy of all of it.

Colours are only averaged after they were made RGB: a palette's numbers, or hues, have no mean.  So what is not RGB goes
through in tiles: cut out, made RGB, reduced by whole factors; then all that is left is resized.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Iterator, Tuple, Union

import numpy as np
from PIL import Image

__all__ = ["reduced"]

Box = Tuple[float, float, float, float]     # left, top, right, bottom
_Cut = Tuple[int, int, int, int]
# The filter of pycoral's documented way.  The published models' reference scores hold with it (facts in
# tests/test_reference_scores.py); bilinear misses the one of MobileNet v1 0.25.
_FILTER: Any = getattr(Image, "Resampling", Image).LANCZOS
_SUPPORT = 2.5      # pixels beside a box that the filter looks at after a reduction, in those of the result
_WHOLE_SUPPORT = 4.0                # the same without one
# Far larger pictures are first shrunk by whole factors, down to three times the size: Pillow's documentation calls
# that indistinguishable, and it takes a fraction of the time.
_GAP = 3.0
_TILE, _SMALL = 1 << 18, 1 << 20    # pixels
_BACKGROUND = (255, 255, 255)       # behind transparent pixels: what viewers show


def reduced(picture: "Union[Image.Image, np.ndarray[Any, Any]]", size: Tuple[int, int], box: Box) -> "Image.Image":
    """The part *box* of a picture, at *size*, as RGB.

    :param picture: a PIL image of any mode, or a (height, width, 3) uint8 array
    :param size: (width, height)
    """
    if isinstance(picture, np.ndarray):
        whole = (picture.shape[1], picture.shape[0])
        return _by_tiles(lambda c: Image.fromarray(np.ascontiguousarray(picture[c[1]:c[3], c[0]:c[2]])),
                         whole, size, box)
    picture.load()
    whole = picture.size
    if picture.mode == "RGB" or (picture.mode == "L" and "transparency" not in picture.info):
        box = _inside(box, whole)
        if whole == size and box == (0.0, 0.0, float(size[0]), float(size[1])):
            return picture if picture.mode == "RGB" else picture.convert("RGB")
        return picture.resize(size, _FILTER, box=box, reducing_gap=_GAP).convert("RGB")
    if picture.mode.startswith("I") or picture.mode == "F":
        scale = _deep_scale(picture)
        return _by_tiles(lambda c: _deep_to_rgb(picture.crop(c), scale), whole, size, box)
    return _by_tiles(lambda c: _to_rgb(picture.crop(c)), whole, size, box)


def _inside(box: Box, whole: Tuple[int, int]) -> Box:
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(whole[0])), min(box[3], float(whole[1]))


def _by_tiles(cut: "Callable[[_Cut], Image.Image]", whole: Tuple[int, int], size: Tuple[int, int],
              box: Box) -> "Image.Image":
    box = _inside(box, whole)
    scale_x, scale_y = (box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]
    factors = max(1, int(scale_x / _GAP)), max(1, int(scale_y / _GAP))
    # What the filter looks at beyond the box: as in Pillow's own way, so that all modes look alike.
    across, down = (_SUPPORT * scale_x, _SUPPORT * scale_y) if factors != (1, 1) else (
        _WHOLE_SUPPORT * max(1.0, scale_x), _WHOLE_SUPPORT * max(1.0, scale_y))
    left, top = max(0, int(box[0] - across)), max(0, int(box[1] - down))
    right, bottom = min(whole[0], math.ceil(box[2] + across)), min(whole[1], math.ceil(box[3] + down))
    if factors == (1, 1) and whole[0] * whole[1] <= _SMALL:
        left, top, right, bottom = (0, 0) + whole   # Pillow's answers depend, if little, on what else there is
    small = Image.new("RGB", (-(-(right - left) // factors[0]), -(-(bottom - top) // factors[1])))
    for x, y, tile in _tiles((left, top, right, bottom), factors):
        part = cut(tile)
        small.paste(part if factors == (1, 1) else part.reduce(factors), (x, y))
    placed = ((box[0] - left) / factors[0], (box[1] - top) / factors[1],
              (box[2] - left) / factors[0], (box[3] - top) / factors[1])
    if small.size == size and placed == (0.0, 0.0, float(size[0]), float(size[1])):
        return small
    return small.resize(size, _FILTER, box=placed)


def _tiles(part: _Cut, factors: Tuple[int, int]) -> "Iterator[Tuple[int, int, _Cut]]":
    """Where each tile goes in the reduced picture, and where it lies in the whole one: in steps of the factors."""
    left, top, right, bottom = part
    across = _step(right - left, factors[0], _TILE)
    down = _step(bottom - top, factors[1], _TILE // min(across, right - left))
    for y in range(top, bottom, down):
        for x in range(left, right, across):
            yield ((x - left) // factors[0], (y - top) // factors[1],
                   (x, y, min(x + across, right), min(y + down, bottom)))


def _step(length: int, factor: int, most: int) -> int:
    return max(1, min(length, most) // factor) * factor


def _to_rgb(image: "Image.Image") -> "Image.Image":
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, _BACKGROUND)
        canvas.paste(rgba, mask=rgba.getchannel("A"))
        return canvas
    return image.convert("RGB")


def _deep_scale(image: "Image.Image") -> float:
    """What 16- and 32-bit grey is multiplied with.  Pillow's own conversion clips at 255, which turns most such
    pictures white."""
    if image.mode.startswith("I;16"):
        return 1 / 257.0                # 65535 -> 255
    top, finite = -math.inf, True
    for _, _, tile in _tiles((0, 0) + image.size, (1, 1)):
        values = np.asarray(image.crop(tile))
        finite = finite and bool(np.isfinite(values).all())
        top = max(top, float(values.max()))
    top = top if finite else 0.0
    if image.mode == "I" and 255 < top <= 65535:
        return 1 / 257.0
    if image.mode == "F" and 0.0 < top <= 1.0:
        return 255.0
    return 255.0 / top if top > 255 else 1.0


def _deep_to_rgb(image: "Image.Image", scale: float) -> "Image.Image":
    values = np.nan_to_num(np.asarray(image, dtype=np.float64) * scale)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")
