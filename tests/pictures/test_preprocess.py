from __future__ import annotations

import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from coral_classify.errors import ImageError, UsageError
from coral_classify.pictures import Scalable
from coral_classify.pictures.preprocess import prepare

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners():
    """Red top left, green top right, blue bottom left, white bottom right; 80 x 40."""
    image = Image.new("RGB", (80, 40), WHITE)
    image.paste(RED, (0, 0, 40, 20))
    image.paste(GREEN, (40, 0, 80, 20))
    image.paste(BLUE, (0, 20, 40, 40))
    return image


def seen(prepared):
    """The colours in the four corners of what the model sees."""
    pixels = prepared.pixels
    return [tuple(int(v) for v in pixels[y, x]) for y, x in ((1, 1), (1, -2), (-2, 1), (-2, -2))]


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_a_path_bytes_a_file_an_image_and_an_array_are_the_same_picture(tmp_path):
    image = corners()
    path = tmp_path / "corners.png"
    image.save(path)
    with open(str(path), "rb") as file:
        answers = [prepare(p, (16, 16)).pixels for p in
                   (str(path), path, path.read_bytes(), file, image, np.asarray(image))]
    for answer in answers[1:]:
        assert (answer == answers[0]).all()


def test_an_array_of_the_right_size_passes_as_it_is():
    pixels = np.zeros((16, 16, 3), np.uint8)
    assert prepare(pixels, (16, 16)).pixels is pixels


@pytest.mark.parametrize("code", range(1, 9))
def test_exif_orientation_is_applied(code):
    upright = corners()
    undo = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
            6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}[code]
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = code
    picture = encoded(stored, "PNG", exif=exif.tobytes())
    assert seen(prepare(picture, (20, 20))) == [RED, GREEN, BLUE, WHITE]
    # A region is meant in the upright picture, too.
    assert seen(prepare(picture, (20, 20), region=(40, 0, 40, 20))) == [GREEN] * 4
    assert seen(prepare(picture, (20, 10), fit="crop", region=(0, 0.5, 0.5, 0.5))) == [BLUE] * 4


@pytest.mark.parametrize("degrees, order", [
    (0, [RED, GREEN, BLUE, WHITE]), (90, [BLUE, RED, WHITE, GREEN]), (180, [WHITE, BLUE, GREEN, RED]),
    (270, [GREEN, WHITE, RED, BLUE]), (-90, [GREEN, WHITE, RED, BLUE])])
def test_rotation_is_clockwise(degrees, order):
    assert seen(prepare(corners(), (20, 20), rotate=degrees)) == order
    assert prepare(corners(), (24, 16), rotate=degrees).pixels.shape == (16, 24, 3)


def test_crop_keeps_the_middle_and_pad_keeps_all():
    image = Image.new("RGB", (60, 20), RED)
    image.paste(GREEN, (20, 0, 40, 20))
    assert seen(prepare(image, (20, 20), fit="crop")) == [GREEN] * 4
    padded = prepare(image, (30, 30), fit="pad", fill=(1, 2, 3)).pixels
    assert tuple(padded[0, 0]) == (1, 2, 3) and tuple(padded[-1, -1]) == (1, 2, 3)
    assert tuple(padded[15, 2]) == RED and tuple(padded[15, 15]) == GREEN


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "CMYK", "I", "F", "I;16", "YCbCr", "HSV", "LAB"])
def test_every_mode_gives_rgb(mode):
    grey = Image.new("L", (32, 32), 128)
    if mode == "I;16":
        image = Image.fromarray(np.full((32, 32), 128 * 257, np.uint16))
    elif mode in ("I", "F"):
        image = Image.fromarray(np.full((32, 32), 128, np.int32 if mode == "I" else np.float32))
    elif mode == "LAB":
        image = Image.new("LAB", (32, 32), (128, 128, 128))
    else:
        image = grey.convert("RGB").convert(mode)
    pixels = prepare(image, (8, 8)).pixels
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
    if mode not in ("1", "LAB"):
        assert abs(int(pixels.mean()) - 128) <= 8


def test_sixteen_bit_grey_is_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = prepare(encoded(Image.fromarray(ramp)), (64, 64)).pixels
    assert pixels[0, 0, 0] == 0 and pixels[-1, -1, 0] == 255 and 120 < pixels.mean() < 135


def test_transparent_pixels_show_white_whatever_lies_under_them():
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert seen(prepare(encoded(image), (8, 8))) == [WHITE] * 4
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([255, 0, 0] + [0, 0, 255] * 255)
    assert seen(prepare(encoded(palette, transparency=0), (8, 8))) == [WHITE] * 4


def test_an_animation_shows_its_first_frame():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    picture = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert seen(prepare(picture, (8, 8))) == [RED] * 4


def test_a_large_jpeg_is_scaled_while_it_is_decoded():
    image = corners().resize((1600, 800))
    prepared = prepare(encoded(image, "JPEG", quality=95), (160, 160))
    assert prepared.source_size == (1600, 800)
    assert prepared.decoded_size == (400, 200)
    assert np.abs(np.array(seen(prepared)) - np.array([RED, GREEN, BLUE, WHITE])).max() < 8


def test_scaled_decoding_sees_the_same_picture():
    noise = np.random.RandomState(1).randint(0, 256, (12, 12, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize((960, 960), Image.BICUBIC)
    whole = prepare(image, (96, 96)).pixels.astype(int)
    scaled = prepare(encoded(image, "JPEG", quality=95), (96, 96)).pixels.astype(int)
    assert np.abs(whole - scaled).mean() < 2


class Shrinking(Scalable):
    """A picture that is averaged on demand, and tells what was asked of it."""

    def __init__(self, image):
        super().__init__(image.size)
        self.asked = []
        self._image = image

    def at(self, size):
        self.asked.append(size)
        return np.asarray(self._image.resize(size, Image.BOX))


@pytest.mark.parametrize("options, asked", [
    ({}, (480, 540)), ({"region": (0.25, 0.25, 0.5, 0.5)}, (960, 1080)), ({"rotate": 90}, (480, 540)),
    ({"fit": "crop"}, (960, 540)), ({"fit": "pad"}, (480, 270)), ({"region": (0, 0, 100, 100)}, (1920, 1080))])
def test_a_picture_that_can_be_had_smaller_is_asked_for_what_is_needed(options, asked):
    noise = np.random.RandomState(1).randint(0, 256, (27, 48, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize((1920, 1080), Image.BICUBIC)
    shrinking = Shrinking(image)
    scaled, whole = prepare(shrinking, (224, 224), **options), prepare(np.asarray(image), (224, 224), **options)
    assert shrinking.asked == [asked]
    assert scaled.source_size == (1920, 1080) and scaled.decoded_size == asked and scaled.region == whole.region
    assert np.abs(scaled.pixels.astype(int) - whole.pixels).mean() < 2      # as for a JPEG that is scaled


def test_a_small_one_is_taken_as_it_is():
    shrinking = Shrinking(corners())
    assert (prepare(shrinking, (64, 64)).pixels == prepare(np.asarray(corners()), (64, 64)).pixels).all()
    assert shrinking.asked == [corners().size]


def test_a_pipe_can_be_read():
    class Pipe(io.RawIOBase):
        def __init__(self, content):
            self.rest = content

        def readable(self):
            return True

        def read(self, size=-1):
            content, self.rest = self.rest, b""
            return content
    assert prepare(Pipe(encoded(corners())), (8, 8)).source_size == (80, 40)


def test_the_caller_s_picture_stays_as_it_is():
    image = Image.open(io.BytesIO(encoded(corners().resize((1600, 800)), "JPEG", quality=95)))
    first = prepare(image, (20, 20), region=(800, 0, 800, 400))
    assert image.size == (1600, 800)
    assert (prepare(image, (20, 20), region=(800, 0, 800, 400)).pixels == first.pixels).all()


def test_a_jpeg_that_the_caller_only_opened_is_scaled_while_decoding_all_the_same(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(encoded(corners().resize((1600, 800)), "JPEG", quality=95))
    with Image.open(str(path)) as image:
        prepared = prepare(image, (20, 20), region=(800, 0, 800, 400))
        assert (prepared.pixels == prepare(path, (20, 20), region=(800, 0, 800, 400)).pixels).all()
        assert prepared.decoded_size < (1600, 800) and image.size == (1600, 800) and image.tile
        image.draft(None, (400, 200))       # the caller's own wish
        assert prepare(image, (20, 20)).source_size == image.size == (400, 200)
        turned = image.rotate(90, expand=True)
        assert prepare(turned, (20, 20)).source_size == (200, 400)


def truncated():
    content = encoded(Image.fromarray(np.random.RandomState(2).randint(0, 256, (64, 64, 3)).astype(np.uint8)), "JPEG")
    return content[:len(content) // 2]


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"), (b"this is a text", "not a picture in a format"), (truncated(), "cannot be decoded"),
    (encoded(corners())[:60], "cannot be decoded|not a picture"),
])
def test_what_is_no_picture_says_so(tmp_path, content, message):
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        prepare(path, (8, 8))
    assert "odd.jpg" in str(caught.value)
    with pytest.raises(ImageError, match=message):
        prepare(content, (8, 8))


@pytest.mark.parametrize("picture", [None, 5, [1], bytearray(b"x")])
def test_what_cannot_be_a_picture_is_told_what_can(picture):
    with pytest.raises(ImageError, match="is no picture; give a path"):
        prepare(picture, (8, 8))


def test_a_damaged_picture_that_the_caller_opened_is_an_image_error_too():
    with pytest.raises(ImageError, match="cannot be decoded"):
        prepare(Image.open(io.BytesIO(truncated())), (8, 8))
    closed = Image.open(io.BytesIO(encoded(corners())))
    closed.close()
    with pytest.raises(ImageError):
        prepare(closed, (8, 8))


def test_a_named_pipe_is_read_if_somebody_writes_to_it(tmp_path):
    path = tmp_path / "pipe.jpg"
    os.mkfifo(str(path))
    with pytest.raises(ImageError, match="pipe.jpg: is a pipe that nobody writes to"):
        prepare(path, (8, 8))
    reader = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK)    # lets a writer in before we read
    writer = os.open(str(path), os.O_WRONLY)
    os.write(writer, encoded(corners()))
    threading.Timer(0.2, os.close, (writer,)).start()
    assert prepare(path, (8, 8)).source_size == (80, 40)
    os.close(reader)


def test_a_trouble_of_the_system_is_not_blamed_on_the_picture(tmp_path):
    path = tmp_path / "loop.jpg"
    path.symlink_to("loop.jpg")
    with pytest.raises(ImageError, match="loop.jpg: cannot be read: Too many levels"):
        prepare(path, (8, 8))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ImageError, match="none.jpg: no such file"):
        prepare(tmp_path / "none.jpg", (8, 8))
    with pytest.raises(ImageError, match="is a folder"):
        prepare(tmp_path, (8, 8))


def test_a_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too many pixels"):
        prepare(encoded(corners()), (8, 8))


@pytest.mark.parametrize("array", [np.zeros((8, 8)), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8),
                                   np.zeros((0, 8, 3), np.uint8)])
def test_an_array_of_another_kind_is_refused(array):
    with pytest.raises(ImageError, match="uint8"):
        prepare(array, (8, 8))


@pytest.mark.parametrize("options, message", [
    ({"fit": "stretch"}, "fit must be"), ({"rotate": 45}, "multiple of 90"),
    ({"region": (0, 0, 0, 5)}, "region must be"), ({"region": (1, 2, 3)}, "region must be"),
    ({"region": (float("nan"), 0, 1, 1)}, "region must be"), ({"region": (-1, 0, 5, 5)}, "region must be")])
def test_options_that_cannot_be_meant_are_usage_errors(options, message):
    with pytest.raises(UsageError, match=message):
        prepare(corners(), (8, 8), **options)


def test_a_region_outside_the_picture_is_an_image_error():
    with pytest.raises(ImageError, match="leaves no pixel of the 80 x 40"):
        prepare(corners(), (8, 8), region=(100, 0, 10, 10))


def test_a_region_that_runs_over_the_edge_ends_there():
    assert prepare(corners(), (8, 8), region=(60, 0, 100, 10)).region == (60, 0, 20, 10)
