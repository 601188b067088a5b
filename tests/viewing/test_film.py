"""The picture for viewers: encoded once for all, as the model looks at it."""
from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from PIL import Image
from test_scene import result

from coral_classify.viewing.film import Film, pixels_of
from coral_classify.viewing.scene import Scene, View


@pytest.fixture
def film():
    made = Film(Scene(), View())
    yield made
    made.close()


def frame(width=1280, height=720):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (255, 0, 0)
    return pixels


def first_parts(film, viewers, count):
    """So many parts of each of so many viewers that look at the same time."""
    async def one():
        parts = film.parts()
        try:
            return [await parts.__anext__() for _ in range(count)]
        finally:
            await parts.aclose()

    async def all_of_them():
        return await asyncio.gather(*[one() for _ in range(viewers)])

    return asyncio.new_event_loop().run_until_complete(all_of_them())


def test_a_picture_is_encoded_once_for_all_viewers(film):
    film._scene.tell(result(frame=frame()))
    shown = first_parts(film, 10, 1)
    assert film.encoded == 1 and len({part for parts in shown for part in parts}) == 1


def test_a_part_is_a_jpeg_of_the_length_that_it_names(film):
    film._scene.tell(result(frame=frame()))
    head, _, rest = first_parts(film, 1, 1)[0][0].partition(b"\r\n\r\n")
    length = int(head.rsplit(b" ", 1)[1])
    with Image.open(io.BytesIO(rest[:length])) as image:
        assert (image.format, image.size) == ("JPEG", (640, 360))
        assert image.getpixel((100, 100))[0] > 240 and image.getpixel((600, 100))[0] < 15
    assert rest[length:] == b"\r\n--coral\r\n"


def test_nothing_is_encoded_while_nobody_looks(film):
    for _ in range(100):
        film._scene.tell(result(frame=frame()))
    assert film.encoded == 0


def test_a_picture_that_cannot_be_read_leaves_the_one_before(film, tmp_path):
    film._scene.tell(result(frame=frame()))
    before = first_parts(film, 1, 1)
    film._at = 0.0
    film._scene.tell(result(frame=str(tmp_path / "gone.jpg")))
    assert first_parts(film, 1, 1) == before


def test_viewers_see_what_the_model_sees():
    seen = pixels_of(frame(), View((0.5, 0.0, 0.5, 1.0)))
    assert seen.shape == (720, 640, 3) and not seen.any()
    assert pixels_of(frame(), View(None, 90)).shape == (1280, 720, 3)
    assert pixels_of(frame(), View(None, 90), 640).shape == (640, 360, 3)
    assert pixels_of(frame(), View((10, 20, 30, 40))).shape == (40, 30, 3)


def test_a_picture_of_a_folder_is_shown_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(frame(64, 32)).save(tmp_path / "turned.jpg", exif=exif.tobytes())
    assert pixels_of(str(tmp_path / "turned.jpg"), View()).shape == (64, 32, 3)
