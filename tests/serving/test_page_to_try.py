"""The page, in a real Chromium: a picture is chosen, dropped, pasted; a broken one; what the eyes do not see."""
from __future__ import annotations

import base64
import io
import time

import numpy as np
import pytest
from conftest import heavy, heavy_program
from PIL import Image

pytest.importorskip("starlette", reason="a server needs the extra [serve]: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="a server needs the extra [serve]: pip install '.[serve]'")

from http_tools import ask  # noqa: E402
from serving_tools import serving  # noqa: E402

from coral_classify import Classifier  # noqa: E402
from coral_classify.testing import FakeSession  # noqa: E402
from coral_classify.types import Quantization, TensorSpec  # noqa: E402

TOKEN = "a-secret-of-many-characters"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]
# Drops a file of this content on the page, as a mouse would.
DROP = """([content, name, type]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, {type}));
  document.body.dispatchEvent(new DragEvent("dragenter", {bubbles: true, dataTransfer: carried}));
  document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: carried}));
}"""


@pytest.fixture(scope="module")
def browser():
    api = heavy("playwright.sync_api")
    program = heavy_program("chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


def colours():
    def mean(tensor):
        return tensor.reshape(1, -1, 3).mean(axis=1).astype(np.uint8)
    return Classifier(
        FakeSession(mean, input=TensorSpec((1, 8, 8, 3), np.dtype(np.uint8), Quantization(1.0, 0)),
                    output=TensorSpec((1, 3), np.dtype(np.uint8), Quantization(1 / 255, 0))),
        labels=["red", "green", "<img src=x onerror=alert(1)>"], mean=0, std=1)


@pytest.fixture
def port():
    with colours() as classifier, serving(classifier) as port:
        yield port


@pytest.fixture
def page(browser, port):
    yield from opened(browser, port)


def opened(browser, port, path="", **options):
    """A page of its own, which must not complain, and must ask nobody but this server."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(60000)
    complaints, elsewhere = [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "422" not in message.text else None)
    page.on("request", lambda request: None if request.url.startswith(("http://127.0.0.1:%d/" % port, "blob:"))
            else elsewhere.append(request.url))
    page.goto("http://127.0.0.1:%d/%s" % (port, path))
    yield page
    context.close()
    assert complaints == [] and elsewhere == []


def png(colour, size=(16, 16)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def file_of(content, name="a.png"):
    return {"name": name, "mimeType": "image/png", "buffer": content}


def bars(page):
    return [line.split("\n") for line in page.locator("#bars li").all_inner_texts()]


def test_a_picture_that_is_chosen_gets_its_bars(page):
    page.set_input_files("#file", file_of(png((0, 204, 51))))
    page.wait_for_selector("#status.found")
    assert page.inner_text("#status") == "green"
    assert bars(page) == [["green", "80%"], ["<img src=x onerror=alert(1)>", "20%"]]     # a label is a text
    widths = page.eval_on_selector_all("#bars .track div", "all => all.map(one => one.style.width)")
    assert widths == ["80%", "20%"]
    assert page.inner_text("#service") == "colours on cpu" and "ms on cpu" in page.inner_text("#details")
    assert page.is_visible("#shown") and page.get_attribute("#shown", "alt") == "Your picture, a.png"


def test_a_picture_that_is_dropped_and_the_next_one(page):
    for colour, label in (((200, 0, 0), "red"), ((0, 200, 0), "green")):
        content = base64.b64encode(png(colour)).decode()
        page.evaluate(DROP, [content, "a.png", "image/png"])
        page.wait_for_function("label => document.getElementById('status').textContent === label", arg=label)
    assert "over" not in (page.get_attribute("#stage", "class") or "")


def test_what_is_no_picture_is_said_in_one_sentence(page):
    page.evaluate(DROP, [base64.b64encode(b"no picture").decode(), "a.txt", "text/plain"])
    page.wait_for_selector("#status.trouble")
    assert page.inner_text("#status").startswith("This picture: not a picture in a format that is read here")
    assert bars(page) == []


def test_the_keyboard_reaches_what_the_mouse_does_and_a_screen_reader_hears_the_answer(page):
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    outline = "getComputedStyle(document.querySelector('#file + .button')).outlineStyle"
    assert page.evaluate(outline) == "solid"
    until = time.monotonic() + 60
    while not choosers and time.monotonic() < until:    # the driver listens a moment after it was told to
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
    choosers[0].set_files(file_of(png((0, 200, 0))))
    page.wait_for_selector("#status.found")
    assert page.get_attribute("#status", "aria-live") == "polite" and page.get_attribute("#status", "role") == "status"
    assert page.get_by_label("Choose picture").count() == 1
    assert page.get_by_role("region", name="Answer").get_by_role("listitem").count() == 1


def test_a_server_that_has_gone_is_said_so(browser):
    with colours() as classifier, serving(classifier) as port:
        pages = opened(browser, port)
        page = next(pages)
    page.set_input_files("#file", file_of(png((0, 200, 0))))
    page.wait_for_selector("#status.trouble")
    assert "Is it still running?" in page.inner_text("#status")
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_a_picture_can_be_taken(browser, port, scheme):
    for page in opened(browser, port, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True,
                       color_scheme=scheme):
        assert page.is_visible("#take")
        page.set_input_files("#camera", file_of(png((0, 200, 0), (3000, 200))))
        page.wait_for_selector("#status.found")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        ground, ink = page.evaluate(
            "['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name])")
        light = [sum(map(int, colour[4:-1].split(","))) > 380 for colour in (ground, ink)]
        assert light == ([True, False] if scheme == "light" else [False, True])


def test_behind_a_token_the_page_lets_in_whoever_brings_it(browser):
    with colours() as classifier, serving(classifier, token=TOKEN) as port:
        assert ask(port, "GET", "/")[0] == 401
        for page in opened(browser, port, "?token=" + TOKEN):
            page.set_input_files("#file", file_of(png((0, 200, 0))))
            page.wait_for_selector("#status.found")
            assert TOKEN not in page.url
