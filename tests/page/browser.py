"""browser.py - a real browser, driven over WebDriver with nothing but Python's own library.

Used by page_test.py and shots.py. Element ids are plain strings; a selector is CSS.
"""
import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
DEADLINE = 30.0  # seconds, for whatever is awaited
KEYS = {"Escape": "\ue00c", "Enter": "\ue007", "Tab": "\ue004"}


class Failure(Exception):
    """What the browser, or a test, complains of."""


def await_true(what, holds, deadline=DEADLINE):
    """Asks again and again until `holds()` is true, and answers with what it said. `what` may be a function."""
    until = time.monotonic() + deadline
    while True:
        said = holds()
        if said:
            return said
        if time.monotonic() > until:
            raise Failure(f"waited in vain for: {what() if callable(what) else what}")
        time.sleep(0.03)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Browser:
    """One headless Chromium with a profile of its own in `folder`."""

    def __init__(self, folder, size=(1280, 800), dark=False):
        self.port = free_port()
        self.log = open(os.path.join(folder, "chromedriver.log"), "wb")
        self.driver = subprocess.Popen([shutil.which("chromedriver"), f"--port={self.port}"], stdout=self.log, stderr=self.log,
                                       env={**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder})
        self.session = None
        await_true("chromedriver", self.is_up)
        args = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking",
                "--no-first-run", f"--user-data-dir={folder}/profile", f"--window-size={size[0]},{size[1]}"]
        if os.geteuid() == 0:
            args.append("--no-sandbox")
        if dark:
            args.append("--force-dark-mode")
        made = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = made["sessionId"]
        self.resize(*size)

    def is_up(self):
        try:
            return self.ask("GET", "/status")["ready"]
        except OSError:
            return False

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise Failure(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    def do(self, method, path, body=None):
        return self.ask(method, f"/session/{self.session}{path}", body)

    def close(self):
        try:
            if self.session is not None:
                self.do("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.log.close()

    def open(self, address):
        self.do("POST", "/url", {"url": address})

    def address(self):
        return self.do("GET", "/url")

    def resize(self, width, height):
        """The size of what is seen; headless, a window is wider than 500 pixels otherwise."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def colours(self, scheme):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def devtools(self, command, **params):
        return self.do("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def js(self, script, *args):
        return self.do("POST", "/execute/sync", {"script": script, "args": list(args)})

    def find(self, selector):
        return [found[ELEMENT] for found in self.do("POST", "/elements", {"using": "css selector", "value": selector})]

    def text(self, selector="body"):
        """What can be read in all that the selector finds."""
        return self.js("return [...document.querySelectorAll(arguments[0])].map((node) => node.innerText).join('\\n')", selector)

    def words(self, selector="body"):
        """The same in one line."""
        return " ".join(self.text(selector).split())

    def sees(self, text, selector="body"):
        return await_true(lambda: f"'{text}' in {selector}; there is:\n{self.text(selector)[:1500]}", lambda: text in self.words(selector))

    def button(self, word, within="body"):
        """The button that bears the word and can be pressed."""
        script = """return [...document.querySelectorAll(`${arguments[1]} button`)].find((node) =>
                    node.innerText.trim().replace(/\\s+/g, " ") === arguments[0] && !node.disabled && node.offsetParent !== null) ?? null"""
        return await_true(f"the button '{word}'", lambda: self.js(script, word, within))[ELEMENT]

    def press(self, word, within="body"):
        """Clicks as a hand would; a button may move while the page is being drawn."""
        def pressed():
            try:
                self.click_element(self.button(word, within))
                return True
            except Failure as failure:
                if "intercepted" in str(failure) or "stale" in str(failure) or "not interactable" in str(failure):
                    return False
                raise
        await_true(f"a click on '{word}'", pressed)

    def click_element(self, element):
        self.do("POST", f"/element/{element}/click", {})

    def click(self, selector):
        self.click_element(await_true(selector, lambda: self.find(selector))[0])

    def type(self, selector, text):
        element = await_true(selector, lambda: self.find(selector))[0]
        self.do("POST", f"/element/{element}/clear", {})
        self.do("POST", f"/element/{element}/value", {"text": text})

    def key(self, name):
        """A key for whatever has the focus."""
        value = KEYS.get(name, name)
        self.do("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": [
            {"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]}]})

    def complaints(self):
        """Errors and warnings of the console since the last look."""
        return [entry["message"] for entry in self.do("POST", "/se/log", {"type": "browser"}) if entry["level"] in ("SEVERE", "WARNING")]

    def shot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.do("GET", "/screenshot")))
