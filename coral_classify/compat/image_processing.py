"""``edgetpu.utils.image_processing``: pictures for the old API.  Pillow is asked of the picture itself."""
from __future__ import annotations

from typing import Any, Tuple

__all__ = ["resampling_with_original_ratio"]


def resampling_with_original_ratio(img: Any, required_size: Tuple[int, int],
                                   sample: int) -> Tuple[Any, Tuple[float, float]]:
    """Fit a picture into a size, at its upper left, the rest black; its proportions stay.

    :param img: a PIL image
    :param required_size: (width, height)
    :param sample: a filter of Pillow's
    :returns: the picture, and how much of (width, height) it fills
    """
    from PIL import Image

    width, height = required_size
    factor = min(width / img.size[0], height / img.size[1])
    size = int(img.size[0] * factor), int(img.size[1] * factor)
    whole = Image.new("RGB", (width, height))
    whole.paste(img.resize(size, sample), (0, 0))
    return whole, (size[0] / width, size[1] / height)
