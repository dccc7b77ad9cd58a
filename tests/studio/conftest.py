"""The studio on the embedded bundle, and pages of it in headless Chromium."""

import os
import re
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from evc_jax.files import ASSETS

DEMO = ASSETS / "demo.wav"
START_S, WAIT_MS = 300, 20_000


class Server:
    """`evc studio` in a process of its own."""

    def __init__(self, folder, *options):
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        command = [sys.executable, "-m", "evc_jax", "studio", "--port", "0", "--no-browser", *options]
        environment = {**os.environ, "TMPDIR": str(self.temporary), "EVC_VOICES_DIR": str(folder / "voices")}
        self._process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        self.url = ""
        for line in self._process.stderr:
            if found := re.search(r"ready at (\S+);", line):
                self.url = found[1]
                break
        assert self.url, f"the studio ended with {self._process.wait()}"
        # A pipe that nobody reads fills up, and then the studio waits for ever at its next message.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    def stop(self):
        """Ends it as an operator does; returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(START_S)


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    pytest.importorskip("gradio")
    server = Server(tmp_path_factory.mktemp("studio"), "--max-seconds", "30", "--max-upload-mb", "8")
    yield server
    server.stop()


@pytest.fixture
def open_page(chromium, studio):
    """Opens pages, each of a user of its own; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def open_one(width=1280, height=900, **settings):
        context = chromium.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if is_foreign(request.url) else None)
        page.goto(studio.url)
        page.wait_for_selector("#convert")
        settle(page)
        return page

    def is_foreign(url):
        return not url.startswith((studio.url, "data:", "blob:"))

    yield open_one
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def look():
    """What the tests ask of a page."""
    functions = upload, sounds, wait_for_new, refusal, complaint, unfold, tab, settle
    return SimpleNamespace(**{function.__name__: function for function in functions})


def upload(page, file=DEMO, field="#source"):
    page.set_input_files(f"{field} input[type=file]", file)
    page.wait_for_selector(f"{field} audio")


def sounds(page, place):
    """Duration in seconds and bytes of each player in a part of the page, once all are loaded."""
    players = page.locator(f"{place} audio")
    found = []
    for i in range(players.count()):
        player = players.nth(i)
        player.evaluate("audio => new Promise(go => audio.readyState >= 1 ? go() : audio.onloadedmetadata = go)")
        data = page.request.get(player.evaluate("audio => audio.src")).body()
        found.append((player.evaluate("audio => audio.duration"), data))
    return found


def wait_for_new(page, place, button, count=2):
    """Presses a button and waits until a part of the page has new players."""
    page.evaluate("place => document.querySelectorAll(place + ' audio').forEach(a => a.dataset.old = '')", place)
    page.click(button)
    page.wait_for_function(
        "([place, count]) => document.querySelectorAll(place + ' audio:not([data-old])').length >= count",
        arg=[place, count],
    )


def refusal(page, button):
    """The sentence that the page shows when a button is pressed."""
    page.click(button)
    return complaint(page)


def complaint(page):
    """The sentence that the page shows; it is closed again."""
    shown = page.get_by_test_id("toast-text")
    shown.first.wait_for()
    text = shown.first.inner_text()
    page.get_by_test_id("toast-close").click()
    shown.first.wait_for(state="detached")
    return text


def settle(page):
    """Waits until what was just opened is ready for input.

    Gradio gives components that become visible their first values again, a frame after it has shown them: what is
    filled in before that is undone. Nobody's hand is as fast, but a test is.
    """
    page.evaluate(
        "() => new Promise(go => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(go)), 300))"
    )


def unfold(page, title):
    """Opens a folded group of controls."""
    page.get_by_text(title, exact=True).click()
    settle(page)


def tab(page, name):
    """Opens a tab, which waits in a menu where the page is narrow."""
    found = page.get_by_role("tab", name=name, exact=True)
    if not found.is_visible():
        page.get_by_label("More tabs").click()
        found = page.locator(".overflow-dropdown").get_by_text(name, exact=True)
    found.click()
    settle(page)
