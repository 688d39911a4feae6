"""Opens pages in headless Chromium and answers with what each step saw.

Argument: {"chromium": path, "profile": empty folder,
           "pages": [{"url": …, "scripts": bool, "width": px, "density": device pixels per px or 1, "steps": [step, …]}]}
Steps: {"eval": script} | {"wait": script that becomes true} | {"wheel": [canvas, x, y], "by": px}
     | {"key": name, "shift": bool} | {"drag": [canvas, x, y, to_x, to_y], "shift": bool}
     | {"screenshot": path, "of": selector or the whole page} | {"media": "print" or "screen"} | {"pdf": path}
       where `canvas` is a number in the order of the page and x, y are shares of its width and height.
Answer: for each page the results of its `eval` steps.
"""

import base64
import json
import pathlib
import subprocess
import sys
import time

import websocket

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0", "--remote-allow-origins=*", "--force-device-scale-factor=1",
]  # fmt: skip
KEYS = {"ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "PageDown": 34, "Home": 36, "End": 35, "r": 82}
START_S, WAIT_S = 60, 20


class Page:
    """One tab, over the DevTools protocol."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=60)
        self.number = 0
        self.errors = []

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"].get("exception", {}).get("description", "error"))
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def eval(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script):
        end = time.monotonic() + WAIT_S
        while not self.eval(script):
            if time.monotonic() > end:
                raise RuntimeError(f"not true after {WAIT_S} s: {script}; errors of the page: {self.errors}")
            time.sleep(0.05)

    def place(self, canvas, x, y):
        script = f"(r => [r.left, r.top, r.width, r.height])(document.querySelectorAll('canvas')[{canvas}].getBoundingClientRect())"
        left, top, width, height = self.eval(script)
        return {"x": left + x * width, "y": top + y * height}

    def box(self, selector):
        """An element's place on the page."""
        script = f"(r => [r.left + scrollX, r.top + scrollY, r.width, r.height])(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        return dict(zip(["x", "y", "width", "height"], self.eval(script)))

    def mouse(self, kind, place, **more):
        self.call("Input.dispatchMouseEvent", type=kind, **place, **more)

    def step(self, step):
        shift = 8 if step.get("shift") else 0
        if "eval" in step:
            return [self.eval(step["eval"])]
        if "wait" in step:
            self.wait(step["wait"])
        elif "wheel" in step:
            place = self.place(*step["wheel"])
            self.mouse("mouseWheel", place, deltaX=0, deltaY=step["by"])
            time.sleep(0.2)  # the browser answers before the page has seen the event
        elif "key" in step:
            key = {"key": step["key"], "code": step["key"], "windowsVirtualKeyCode": KEYS[step["key"]], "modifiers": shift}
            self.call("Input.dispatchKeyEvent", type="rawKeyDown", **key)
            self.call("Input.dispatchKeyEvent", type="keyUp", **key)
        elif "drag" in step:
            canvas, *corners = step["drag"]
            start, end = self.place(canvas, *corners[:2]), self.place(canvas, *corners[2:])
            held = {"button": "left", "buttons": 1, "modifiers": shift, "clickCount": 1}
            self.mouse("mousePressed", start, **held)
            self.mouse("mouseMoved", end, **held)
            self.mouse("mouseReleased", end, **{**held, "buttons": 0})
        elif "screenshot" in step:
            clip = {"clip": {**self.box(step["of"]), "scale": 1}} if "of" in step else {}
            image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)["data"]
            pathlib.Path(step["screenshot"]).write_bytes(base64.b64decode(image))
        elif "media" in step:
            self.call("Emulation.setEmulatedMedia", media=step["media"])
        elif "pdf" in step:
            data = self.call("Page.printToPDF", printBackground=True)["data"]
            pathlib.Path(step["pdf"]).write_bytes(base64.b64decode(data))
        else:
            raise ValueError(f"no such step: {step}")
        return []


def address_of(folder, process):
    """Where the browser listens: it writes the port into its folder."""
    file, end = pathlib.Path(folder, "DevToolsActivePort"), time.monotonic() + START_S
    while time.monotonic() < end:
        lines = file.read_text().split("\n") if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("Chromium does not start")


def main(job):
    command = [job["chromium"], *FLAGS, f"--user-data-dir={job['profile']}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = address_of(job["profile"], process)
        browser, answers = Page(address), []
        for wanted in job["pages"]:
            target = browser.call("Target.createTarget", url="about:blank")["targetId"]
            page = Page(f"{address.split('/devtools')[0]}/devtools/page/{target}")
            page.call("Page.enable")
            page.call("Runtime.enable")
            size = {"width": wanted["width"], "height": 1400, "deviceScaleFactor": wanted.get("density", 1), "mobile": False}
            page.call("Emulation.setDeviceMetricsOverride", **size)
            page.call("Emulation.setScriptExecutionDisabled", value=not wanted["scripts"])
            page.call("Page.navigate", url=wanted["url"])
            page.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
            answers.append([answer for step in wanted["steps"] for answer in page.step(step)])
            if page.errors:
                raise RuntimeError(f"{wanted['url']}: {page.errors}")
            browser.call("Target.closeTarget", targetId=target)
        return answers
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


print(json.dumps(main(json.loads(sys.argv[1]))))
