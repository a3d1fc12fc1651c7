"""The demonstration in headless Chromium: started, opened, and used as a visitor does.

python -m tests.helpers.demo_page FOLDER     writes the pictures of docs/guide/demo.md
"""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

from tests.helpers.small_runs import ROOT, environment

SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def demonstration(source: object, *flags: str):
    """The address of the demonstration, in a process of its own."""
    port = free_port()
    # NiceGUI takes another way where it finds itself in a test.
    variables = {k: v for k, v in environment().items() if not k.startswith("PYTEST")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tf_mdsm.demo", str(source), f"--port={port}", *flags],
        cwd=ROOT,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and not answers(address):
            assert time.monotonic() < deadline, "the demonstration does not start"
            time.sleep(0.2)
        assert process.poll() is None, process.communicate()[1]
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=30)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as reply:  # noqa: S310
            return reply.status == 200
    except OSError:
        return False


def browser_tools() -> tuple[str, str] | None:
    """Chromium and its driver; None where they are not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


@contextlib.contextmanager
def visitor(address: str):
    """A browser that has opened the page."""
    from selenium import webdriver

    tools = browser_tools()
    assert tools is not None
    options = webdriver.ChromeOptions()
    options.binary_location = tools[0]
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1000,1150")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(tools[1]))
    try:
        browser.get(address)
        yield Visitor(browser)
    finally:
        browser.quit()


class Visitor:
    """What a visitor does; elements are named by the classes that the page gives them."""

    def __init__(self, browser):
        self.browser = browser

    def find(self, selector: str):
        """The element of a CSS selector, once it is shown."""
        self.wait(lambda: any(e.is_displayed() for e in self._all(selector)), selector)
        return next(e for e in self._all(selector) if e.is_displayed())

    def _all(self, selector: str) -> list:
        return self.browser.find_elements("css selector", selector)

    def wait(self, condition, what: str) -> None:
        from selenium.common.exceptions import StaleElementReferenceException

        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(StaleElementReferenceException):
                if condition():
                    return
            assert time.monotonic() < deadline, what
            time.sleep(0.1)

    def open(self, tab: str) -> None:
        self.find(f".tab-{tab}").click()
        self.find(f".{tab} .start")

    def text(self, selector: str) -> str:
        """The text of an element, as soon as it has one."""
        self.wait(lambda: any(e.text for e in self._all(selector)), selector)
        return next(e.text for e in self._all(selector) if e.text)

    def texts(self, selector: str) -> list[str]:
        return [e.text for e in self._all(selector) if e.text]

    def press(self, selector: str) -> None:
        self.find(selector).click()

    def start(self, label: str) -> None:
        """Presses a button that computes, by its label."""
        self.find(".start")
        buttons = [e for e in self._all(".start") if e.text.lower() == label.lower()]
        next(b for b in buttons if b.is_displayed()).click()

    def type(self, selector: str, value: object) -> None:
        """Replaces the number in a field."""
        from selenium.webdriver.common.keys import Keys

        field = self.find(f"{selector} input")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value), Keys.TAB)

    def choose(self, selector: str, option: str) -> None:
        """Chooses an option of a list by a part of its text."""
        self.find(selector).click()
        found = lambda: [e for e in self._all(".q-menu .q-item") if option in e.text]  # noqa: E731
        self.wait(lambda: bool(found()), option)
        found()[0].click()
        self.wait(lambda: not self._all(".q-menu"), "the list closes")

    def upload(self, tab: str, path: pathlib.Path) -> None:
        # Quasar puts the field for the file into the page at the first click of its button.
        self._all(f".{tab} .q-uploader input[type=file]")[0].send_keys(str(path))

    def set_slider(self, selector: str, number: int) -> None:
        """Moves a slider to its smallest value by keys, then so many steps up."""
        from selenium.webdriver.common.keys import Keys

        field = self.find(f"{selector} .q-slider__track-container, {selector} [tabindex]")
        field.send_keys(*[Keys.ARROW_LEFT] * 100, *[Keys.ARROW_RIGHT] * number)
        # The page sends a slider's last value up to 0.05 s after the last key.
        time.sleep(1)

    def took(self, tab: str) -> bool:
        """Whether a tab shows an image that was chosen."""
        script = """
            const panel = document.querySelector(arguments[0]);
            return [...panel.querySelectorAll('img')].some(i => i.src.startsWith('data:image/png'));
        """
        return self.browser.execute_script(script, f".q-tab-panel.{tab}, .{tab}")

    def picture(self, selector: str) -> bytes:
        """The pixels of a shown picture, by its address; waits until there is one."""
        script = "return document.querySelector(arguments[0])?.src ?? ''"
        get = lambda: self.browser.execute_script(script, f"{selector} img")  # noqa: E731
        self.wait(lambda: get().startswith("data:image/png"), selector)
        return get().encode()

    def paint(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drags over the canvas, from one place to another in shares of its sides."""
        from selenium.webdriver import ActionChains

        canvas = self.find(".canvas")
        width, height = canvas.size["width"], canvas.size["height"]
        places = [((x - 0.5) * width, (y - 0.5) * height) for x, y in (start, end)]
        actions = ActionChains(self.browser, duration=50)
        actions.move_to_element_with_offset(canvas, *map(int, places[0])).click_and_hold()
        for step in range(1, 9):
            share = step / 8
            x, y = (a + share * (b - a) for a, b in zip(*places, strict=True))
            actions.move_to_element_with_offset(canvas, int(x), int(y))
        actions.release().perform()

    def hidden_pixels(self) -> int:
        """How many rectangles hide pixels on the canvas."""
        return len(self._all(".canvas svg rect"))

    def hosts(self) -> set[str]:
        """Hosts of all requests that the browser has made for the page."""
        found = set()
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            params = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(params["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                found.add(params["url"])
        return {url.split("/")[2] for url in found if url.split(":")[0] in _NETWORK}

    def complaints(self) -> list[str]:
        """What the browser's console says."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


_NETWORK = ("http", "https", "ws", "wss")


def take_pictures(folder: pathlib.Path) -> None:
    """Writes one picture for each tab with a result."""
    with demonstration(ROOT / "examples" / "digits") as address, visitor(address) as page:
        page.choose(".steps", "40")
        page.start("Draw")
        page.text(".draw .energies")
        page.browser.save_screenshot(str(folder / "demo_draw.png"))
        page.open("fill")
        page.start("Fill in")
        page.text(".fill .caption")
        page.browser.save_screenshot(str(folder / "demo_fill.png"))
        page.open("denoise")
        page.start("Denoise")
        page.text(".denoise .caption")
        page.browser.save_screenshot(str(folder / "demo_denoise.png"))
        page.open("energy")
        page.start("Energy")
        page.picture(".energy .histogram")
        time.sleep(1)
        page.browser.save_screenshot(str(folder / "demo_energy.png"))
        print(page.hosts(), page.complaints())


if __name__ == "__main__":
    take_pictures(pathlib.Path(sys.argv[1]))
