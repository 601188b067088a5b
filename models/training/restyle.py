"""Copies of a photograph in another style: how well a rule holds outside the collections is measured on them."""
from __future__ import annotations

from typing import Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

STYLES = ("moved", "cropped", "recoloured", "blurred")
_SIDE = 160     # of a picture with a thing moved onto it


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
    ground = other.resize((_SIDE, _SIDE), Image.BICUBIC)
    kind = chance.random()
    if kind < 0.25:
        ground = Image.new("RGB", ground.size, tuple(int(v) for v in chance.integers(0, 256, 3)))
    elif kind < 0.75:
        ground = ground.filter(ImageFilter.GaussianBlur(float(chance.uniform(1, 6))))
    side, shape = chance.uniform(0.45, 0.8) * _SIDE, (picture.width / picture.height) ** 0.5
    small = picture.resize((min(_SIDE, int(side * shape)), min(_SIDE, int(side / shape))), Image.BICUBIC)
    place = tuple(int(chance.integers(_SIDE - size + 1)) for size in small.size)
    ground.paste(small, place)      # type: ignore[arg-type]
    return ground
