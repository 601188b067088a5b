"""Copies of a photograph in another style, and cut-out things on a ground.

How well a network and its rule hold outside the collections is measured on them.
"""
from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

STYLES = ("moved", "cropped", "recoloured", "blurred")
_SIDE = 160     # of a picture with a thing put onto it


def restyled(picture: Image.Image, style: str, backgrounds: Sequence[Image.Image],
             chance: np.random.Generator) -> Image.Image:
    """:param backgrounds: photographs of nothing in particular, for "moved": a smaller copy somewhere on one"""
    if style == "moved":
        return _moved(picture, backgrounds[chance.integers(len(backgrounds))], chance)
    if style == "cropped":      # 30 to 100 % of the area, near its own shape
        share = chance.uniform(0.3, 1.0) ** 0.5
        wide, high = (max(1, int(size * share)) for size in picture.size)
        left, top = (int(chance.integers(whole - part + 1)) for whole, part in zip(picture.size, (wide, high)))
        return picture.crop((left, top, left + wide, top + high))
    if style == "recoloured":
        for enhancer, most in ((ImageEnhance.Brightness, 0.5), (ImageEnhance.Contrast, 0.5), (ImageEnhance.Color, 0.9)):
            picture = enhancer(picture).enhance(float(chance.uniform(1 - most, 1 + most)))
        tinted = np.asarray(picture, np.float32) * chance.uniform(0.7, 1.3, 3)
        return Image.fromarray(tinted.clip(0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(float(chance.uniform(1, 3))))


def _moved(picture: Image.Image, other: Image.Image, chance: np.random.Generator) -> Image.Image:
    ground = _ground(other, chance)
    side, shape = chance.uniform(0.45, 0.8) * _SIDE, (picture.width / picture.height) ** 0.5
    small = picture.resize((min(_SIDE, int(side * shape)), min(_SIDE, int(side / shape))), Image.BICUBIC)
    place = tuple(int(chance.integers(_SIDE - size + 1)) for size in small.size)
    ground.paste(small, place)      # type: ignore[arg-type]
    return ground


def _ground(photograph: Image.Image, chance: np.random.Generator) -> Image.Image:
    """One colour (a quarter), the photograph blurred (half), or as it is."""
    kind = chance.random()
    if kind < 0.25:
        return Image.new("RGB", (_SIDE, _SIDE), tuple(int(v) for v in chance.integers(0, 256, 3)))
    ground = photograph.resize((_SIDE, _SIDE), Image.BICUBIC)
    return ground.filter(ImageFilter.GaussianBlur(float(chance.uniform(1, 6)))) if kind < 0.75 else ground


def stamped(stamp: Image.Image, ground: Optional[Image.Image], chance: np.random.Generator) -> Image.Image:
    """
    :param stamp: RGBA, a thing that is cut out
    :param ground: a photograph to put it on as in "moved", at 55 to 95 % of the side; None: 90 %, on white
    """
    stamp = stamp.crop(stamp.getchannel("A").getbbox())
    if ground is None:
        whole, share = Image.new("RGB", (_SIDE, _SIDE), "white"), 0.9
    else:
        whole, share = _ground(ground, chance), float(chance.uniform(0.55, 0.95))
    scale = _SIDE * share / max(stamp.size)
    small = stamp.resize((max(1, int(stamp.width * scale)), max(1, int(stamp.height * scale))), Image.LANCZOS)
    free = _SIDE - small.width, _SIDE - small.height
    place = (free[0] // 2, free[1] // 2) if ground is None else tuple(int(chance.integers(most + 1)) for most in free)
    whole.paste(small, place, small)    # type: ignore[arg-type]
    return whole
