"""Something that may be a picture -> an opened one, not yet decoded, of which is known what decoding will take.

Knows files, pipes and Pillow's way of opening; every failure becomes an :class:`ImageError` that names the picture.
"""
from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
from typing import Any, BinaryIO, Iterator, NamedTuple, Union

from PIL import Image, UnidentifiedImageError
from PIL import __version__ as pillow_version

from .. import reading
from ..errors import ImageError, UsageError
from . import surveys
from .limits import HELD_BYTES, Limits, Refused, bytes_of

__all__ = ["Opened", "look_at", "opened", "renamed"]

_CAN_CHOOSE = "formats" in inspect.signature(Image.open).parameters     # Pillow 8
_MPO = "MPO"        # what Pillow calls a JPEG with further pictures behind it
# Of what Pillow decodes in Python, one or two million pixels a second: run lengths of BMP, PPM of text or odd depth.
_SLOW_PIXELS = 1 << 21
_NOTHING = surveys.Survey()
_PLUGINS = {"WEBP": "WebP"}     # names of Pillow's modules that are not the format's
_SLOW_BYTES, _SLOW_ROWS = 24, 256       # for a pixel; and what one code may add in older versions of Pillow


class Opened(NamedTuple):
    """A picture that nobody has decoded."""

    image: "Image.Image"
    found: surveys.Survey

    def needed(self) -> int:
        """Bytes that decoding will take at the size that it has now."""
        image, found = self.image, self.found
        rows = found.per_row * bytes_of(image.mode, (image.size[0], 1))
        return (bytes_of(image.mode, image.size) + rows + found.bytes
                + found.per_pixel * image.size[0] * image.size[1])


@contextlib.contextmanager
def opened(picture: Union[str, "os.PathLike[str]", bytes, BinaryIO], name: str, limits: Limits) -> Iterator[Opened]:
    """
    :raises ImageError: if it is no picture of a format that is read
    :raises Refused: if it would take too much
    """
    with _file_of(picture, name) as file:
        form = surveys.format_of(file)
        if form is None:
            raise UnidentifiedImageError(name)
        found = surveys.survey(file, form, limits)
        with _open(file, form) as image:
            if image.format not in (form, _MPO):
                raise UnidentifiedImageError(name)
            yield look_at(image, found)


def look_at(image: "Image.Image", found: surveys.Survey = _NOTHING) -> Opened:
    """What decoding an opened picture will take.

    :raises Refused: if it would take too long
    """
    tile = (getattr(image, "tile", None) or [[""]])[0]
    if tile[0] not in getattr(Image, "DECODERS", ()):
        return Opened(image, found)
    if image.size[0] * image.size[1] > _SLOW_PIXELS:
        raise Refused("is a %s of a kind that takes too long to decode at %d x %d pixels (at most %d); save it anew as "
                      "PNG" % ((image.format,) + image.size + (_SLOW_PIXELS,)))
    return Opened(image, found._replace(per_pixel=_SLOW_BYTES, per_row=_SLOW_ROWS))


def _open(file: BinaryIO, form: str) -> "Image.Image":
    if form not in Image.OPEN:      # else Pillow would import every format that it has
        with contextlib.suppress(ImportError):      # it is older than this one
            importlib.import_module("PIL.%sImagePlugin" % _PLUGINS.get(form, form.capitalize()))
    # Older versions may take another format than the marks say, which is refused then; none that they would take for a
    # file with these marks starts a program.
    try:
        return Image.open(file, formats=[form]) if _CAN_CHOOSE else Image.open(file)
    except KeyError as exc:     # this version knows no such format
        raise UnidentifiedImageError(form) from exc


@contextlib.contextmanager
def _file_of(picture: Union[str, "os.PathLike[str]", bytes, BinaryIO], name: str) -> Iterator[BinaryIO]:
    """Something to seek in.  The caller's own file is left open."""
    if isinstance(picture, bytes):
        yield io.BytesIO(picture)
    elif isinstance(picture, (str, os.PathLike)):
        with reading.open_source(picture) as file:
            yield file if file.seekable() else io.BytesIO(_held(file))
    elif not hasattr(picture, "read"):
        raise ImageError("%s: is no picture; give a path, bytes, a binary file object, a PIL image or an array" % name)
    else:
        yield picture if _seekable(picture) else io.BytesIO(_held(picture))     # a pipe: Pillow needs to seek


def _held(file: BinaryIO) -> bytes:
    try:
        return reading.read_all(file, HELD_BYTES)
    except OverflowError as exc:
        raise Refused("%s; more are not taken from a pipe: save it as a file first" % exc) from exc


@contextlib.contextmanager
def renamed(picture: Any, name: str) -> Iterator[None]:
    """What goes wrong while a picture is opened and decoded, as an :class:`ImageError` that names it."""
    try:
        yield
    except (ImageError, UsageError):
        raise
    except Refused as exc:
        raise ImageError("image %s: %s" % (name, exc)) from exc
    except FileNotFoundError as exc:
        raise ImageError("image %s: no such file" % name) from exc
    except IsADirectoryError as exc:
        raise ImageError("image %s: is a folder; give the pictures in it" % name) from exc
    except PermissionError as exc:
        raise ImageError("image %s: no permission to read it" % name) from exc
    except Image.DecompressionBombError as exc:
        raise ImageError("image %s: too many pixels to decode safely (%s); scale it down first" % (name, exc)) from exc
    except UnidentifiedImageError as exc:
        raise ImageError("image %s: %s" % (name, _why_unidentified(picture))) from exc
    except MemoryError as exc:
        raise ImageError("image %s: not enough memory to decode it; scale it down first" % name) from exc
    except Exception as exc:    # Pillow's decoders raise OSError, SyntaxError, struct.error, ValueError, …
        if isinstance(exc, OSError) and exc.errno is not None:      # the system's, not a decoder's
            raise ImageError("image %s: %s" % (name, reading.why(exc))) from exc
        raise ImageError("image %s: cannot be decoded (%s); it is damaged or cut short, copy or download it again"
                         % (name, str(exc) or type(exc).__name__)) from exc


def _seekable(file: Any) -> bool:
    return bool(getattr(file, "seekable", lambda: hasattr(file, "seek"))())


def _why_unidentified(picture: Any) -> str:
    if isinstance(picture, bytes):
        empty = not picture
    elif isinstance(picture, (str, os.PathLike)):
        empty = os.path.isfile(picture) and os.path.getsize(picture) == 0
    elif _seekable(picture):
        picture.seek(0)
        empty = not picture.read(1)
    else:
        empty = False
    return "is empty; copy or download it again" if empty else \
        "not a picture in a format that is read here (%s; Pillow %s)" % (", ".join(surveys.FORMATS), pillow_version)
