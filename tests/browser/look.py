"""Opens report.html of a run in headless Chromium over its debugging pipe and looks at it: light and dark, wide and narrow."""

import base64
import json
import os
import subprocess
import sys
import tempfile

FIGURES = """JSON.stringify({
  figures: Object.fromEntries([...document.querySelectorAll('[data-figure]')].map(e => [e.dataset.figure, e.dataset.ms ?? e.textContent.replace(/[^0-9]/g, '')])),
  scripts: document.scripts.length, images: document.images.length, bold: document.querySelectorAll('b b, td b').length,
  sheets: document.styleSheets.length, handlers: document.querySelectorAll('[onerror],[onload],[style]').length,
  named: [...document.querySelectorAll('h2')].find(e => e.textContent === 'Needs hands').parentElement.querySelectorAll('tbody tr').length,
  text: document.body.innerText, wide: document.documentElement.scrollWidth, window: document.documentElement.clientWidth,
  paper: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,
  height: document.documentElement.scrollHeight })"""


class Browser:
    def __init__(self, profile):
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()

        def pipes():
            # Chromium reads descriptor 3 and writes 4; copies first, so that neither overwrites the other.
            read, write = os.dup(commands), os.dup(answers)
            os.dup2(read, 3)
            os.dup2(write, 4)

        # The sandbox needs a user other than root and namespaces that containers lack.
        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
             "--disable-background-networking", f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)
        self.rest, self.number, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def read(self):
        while b"\0" not in self.rest:
            more = os.read(self.answers, 1 << 16)
            assert more, "the browser is gone"
            self.rest += more
        line, self.rest = self.rest.split(b"\0", 1)
        return json.loads(line)

    def wait(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.read())


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, expected {wanted!r}")


def look(browser, page, scheme, width, shot):
    browser.events.clear()
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.call("Page.navigate", url=page)
    browser.wait("Page.loadEventFired")
    seen = json.loads(browser.call("Runtime.evaluate", expression=FIGURES)["result"]["value"])
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=min(seen["height"], 6000), deviceScaleFactor=1, mobile=False)
    picture = browser.call("Page.captureScreenshot", format="png")["data"]
    with open(shot, "wb") as file:
        file.write(base64.b64decode(picture))
    said = [event for event in browser.events
            if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")]
    expect(f"{shot}: messages of the page", said, [])
    asked = [event["params"]["request"]["url"] for event in browser.events if event.get("method") == "Network.requestWillBeSent"]
    expect(f"{shot}: requests", asked, [page])
    expect(f"{shot}: wider than the window", seen["wide"] > seen["window"], False)
    return seen


def main(run, shots):
    with open(os.path.join(run, "summary.json"), encoding="utf-8") as file:
        summary = json.load(file)
    page = "file://" + os.path.join(run, "report.html")
    # Helper processes of the browser outlive it for a moment and may still write into its profile.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            for domain in ("Page", "Network", "Runtime", "Log"):
                browser.call(f"{domain}.enable")
            papers = {}
            for scheme in ("light", "dark"):
                for width in (1200, 400):
                    seen = look(browser, page, scheme, width, os.path.join(shots, f"report-{scheme}-{width}.png"))
                    papers[scheme] = seen["paper"]
            # On paper a table stays a table, with its head on every page.
            browser.call("Emulation.setEmulatedMedia", media="print", features=[])
            browser.call("Emulation.setDeviceMetricsOverride", width=640, height=900, deviceScaleFactor=1, mobile=False)
            head = "getComputedStyle(document.querySelector('table.stack thead')).display"
            expect("head of a printed table", browser.call("Runtime.evaluate", expression=head)["result"]["value"], "table-header-group")
            paper = browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)["data"]
            with open(os.path.join(shots, "report.pdf"), "wb") as file:
                file.write(base64.b64decode(paper))
            browser.events.clear()
        finally:
            browser.process.terminate()
            browser.process.wait()
    wanted = {name: str(summary[name]) for name in ("rows_in", "rows_out", "requests", "throttled")}
    # A page that shows the limits of the invocation counts throttled requests there and not a second time.
    if "throttled" not in seen["figures"]:
        del wanted["throttled"]
    wanted |= {name: str(summary["totals"].get(name, 0)) for name in ("accepted", "failed", "invalid", "duplicate")}
    wanted |= {name: str(summary["durations_ms"][name]) for name in ("p50", "p95", "p99", "longest")}
    wanted["needs_hands"] = str(summary["totals"]["failed"] + summary["totals"]["invalid"])
    expect("figures", seen["figures"], wanted)
    expect("scripts, pictures, bold text, handlers", [seen[name] for name in ("scripts", "images", "bold", "handlers")], [0, 0, 0, 0])
    expect("style sheets, so the policy lets the page's own in", seen["sheets"], 1)
    expect("rows named", seen["named"], 200)
    for text in ("<img src=https://example.invalid/x onerror=alert(4)>", "</td></table><script>alert(5)</script>"):
        expect(f"{text} is shown", text in seen["text"], True)
    expect("light and dark differ", papers["light"] != papers["dark"], True)
    print(f"report.html: 4 looks, {len(wanted)} figures equal, no message, no request; screenshots in {shots}")


main(*sys.argv[1:])
