"""The page in a real Chromium, with the camera "test": it moves, teaches by mouse and keyboard, needs no network."""
from __future__ import annotations

import re

import pytest
from conftest import heavy, heavy_program
from live_tools import running

from coral_classify import Classifier

sync_api = heavy("playwright.sync_api")
expect = sync_api.expect
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=heavy_program("chromium"), args=[
            "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"])


@pytest.fixture
def tab(browser, tmp_path, any_engine):
    """A tab with the page, and what went wrong in it."""
    with running("test", "--device", "cpu", "--page", "127.0.0.1:0", "--teach-into", str(tmp_path)) as url:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        tab = context.new_page()
        wrong, asked = [], []
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(url, wait_until="commit")
        expect(tab.locator("#lamp")).to_have_text("live", timeout=PATIENCE_MS)
        yield tab
        assert wrong == []
        assert [address for address in asked if not address.startswith((url, "data:"))] == []
        context.close()


def test_the_picture_and_the_bars_move(tab):
    expect(tab.locator("#answer li")).to_have_count(5, timeout=PATIENCE_MS)
    first = tab.locator("#answer").inner_text()
    expect(tab.locator("#answer")).not_to_have_text(first, timeout=PATIENCE_MS)
    expect(tab.locator("#held")).not_to_have_text("…", timeout=PATIENCE_MS)
    widths = 0
    while not widths:       # until the first picture of the stream is there
        widths = tab.evaluate("document.getElementById('picture').naturalWidth")
    assert widths == 640
    expect(tab.locator("#strip i").first).to_be_attached(timeout=PATIENCE_MS)


def test_every_control_has_a_name(tab):
    add(tab, "a <b>bold</b> name")
    nameless = tab.evaluate("""() => [...document.querySelectorAll('button, input, img, summary, [role=img]')].filter(
        (each) => !(each.textContent.trim() || each.getAttribute('aria-label') || each.getAttribute('alt') !== null
                    || (each.labels && each.labels.length))).map((each) => each.outerHTML)""")
    assert nameless == []
    expect(tab.locator(".hold")).to_contain_text("a <b>bold</b> name")      # as text


def add(tab, name):
    tab.fill("#name", name)
    tab.locator("#name").press("Enter")


def pictures(button, least):
    expect(button).to_have_attribute("data-pictures", re.compile("^(%s|[1-9][0-9]+)$" % "|".join(
        str(number) for number in range(least, 10))), timeout=PATIENCE_MS)


def test_two_classes_are_taught_with_mouse_and_keyboard_and_saved(tab, tmp_path):
    add(tab, "one")
    add(tab, "two")
    first, second = tab.locator(".hold").nth(0), tab.locator(".hold").nth(1)
    first.hover()
    tab.mouse.down()
    expect(first).to_have_attribute("aria-pressed", "true")
    pictures(first, 3)
    tab.mouse.up()
    expect(first).to_have_attribute("aria-pressed", "false")
    second.focus()
    tab.keyboard.down("Space")
    expect(second).to_have_attribute("aria-pressed", "true")
    pictures(second, 3)
    tab.keyboard.up("Space")
    expect(second).to_have_attribute("aria-pressed", "false")
    expect(tab.locator("#taught-answer li")).to_have_count(2, timeout=PATIENCE_MS)
    tab.fill("#file", "pair")
    tab.click("#save button")
    expect(tab.locator("#saved code")).to_contain_text("pair.tflite", timeout=PATIENCE_MS)
    with Classifier(tmp_path / "pair.tflite", device="cpu") as classifier:
        assert set(classifier.labels) == {"one", "two", "none of these"}


def test_a_tab_that_loses_the_focus_lets_go(tab):
    add(tab, "one")
    button = tab.locator(".hold")
    button.hover()
    tab.mouse.down()
    expect(button).to_have_attribute("aria-pressed", "true")
    tab.evaluate("window.dispatchEvent(new Event('blur'))")
    expect(button).to_have_attribute("aria-pressed", "false")
    tab.mouse.up()


def test_on_a_phone_nothing_is_wider_than_the_screen(tab):
    tab.set_viewport_size({"width": 360, "height": 700})
    add(tab, "a name that is rather long, and longer than that")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
