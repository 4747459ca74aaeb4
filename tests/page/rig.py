"""rig.py - the real programs in a folder of their own, and a browser that looks at them.

Used by page_test.py and shots.py; LW_BIN is the folder of the programs.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from browser import Browser, await_true

BIN = os.environ.get("LW_BIN", "build/dev/bin")


class Control(http.client.HTTPConnection):
    """The control API, as lwctl uses it."""

    def __init__(self, path):
        super().__init__("lw", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class App:
    """One supervisor and what it needs."""

    def __init__(self, folder, conf, name):
        self.folder = folder
        self.conf = os.path.join(folder, name)
        self.state = os.path.join(folder, "state")
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(conf)
        self.process = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "a", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        log = open(self.path("console"), "ab")
        self.process = subprocess.Popen([os.path.join(BIN, "lw-supervisor"), "--state-dir", self.state, self.conf],
                                        stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        log.close()
        await_true("the line at start", lambda: self.address() and self.process.poll() is None)

    def address(self):
        """What the first line prints: the last one of all starts."""
        with open(self.path("console"), encoding="utf-8", errors="replace") as file:
            lines = [line.split(": ", 1)[1].strip() for line in file if "View it in your browser: " in line]
        starts = getattr(self, "starts", 0)
        return lines[-1] if len(lines) > starts else None

    def kill(self):
        """As a power cut would, but for the works."""
        self.starts = self.console().count("View it in your browser: ")
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def console(self):
        with open(self.path("console"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def ask(self, method, path, body=None):
        connection = Control(os.path.join(self.state, "control.sock"))
        try:
            connection.request(method, "/api/v1/" + path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


class Rig:
    """A test's folder, app and browser; everything is gone when it is left."""

    def __init__(self, conf, name="app.conf", **browser):
        self.folder = tempfile.mkdtemp(prefix="lw-page-")
        self.app = App(self.folder, conf, name)
        self.how = browser
        self.browser = None

    def __enter__(self):
        try:
            self.app.start()
            self.browser = Browser(self.folder, **self.how)
        except BaseException:
            self.leave()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            self.tell()
        self.leave()

    def tell(self):
        """What helps to understand a failure."""
        print(f"---- console\n{self.app.console()[-3000:]}")
        try:
            print(f"---- page at {self.browser.address()}\n{self.browser.text()[:3000]}\n---- complaints\n{self.browser.complaints()}")
            shots = os.environ.get("LW_SHOTS")
            if shots:
                self.browser.shot(os.path.join(shots, "failed.png"))
        except Exception as failure:  # the browser may be what failed
            print(f"---- no page: {failure}")

    def leave(self):
        try:
            if self.browser is not None:
                self.browser.close()
        finally:
            self.app.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
