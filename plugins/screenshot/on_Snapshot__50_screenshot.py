#!/usr/bin/env python3
# screenshot: saves a picture of the page at --url, which the browser of the plugin chrome opens in a tab of its own.
import base64
import json
import os
import socket
import struct
import sys


class DevTools:
    """A connection to a browser: JSON messages over a WebSocket (RFC 6455)."""

    def __init__(self, port, path):
        self.file = socket.create_connection(("127.0.0.1", int(port)), timeout=60).makefile("rwb")
        headers = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
        self.file.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n\r\n".encode())
        self.file.flush()
        while self.file.readline().strip():
            pass
        self.events = []
        self.last_id = 0

    def receive(self):
        message, is_last = b"", False
        while not is_last:
            first, length = self.file.read(2)
            if length >= 126:
                (length,) = struct.unpack(*(("!H", self.file.read(2)) if length == 126 else ("!Q", self.file.read(8))))
            message += self.file.read(length)
            is_last = first & 0x80
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        """Sends a command, and returns its result. Events that arrive before it are kept."""
        self.last_id += 1
        command = {"id": self.last_id, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        text = json.dumps(command).encode()
        size = struct.pack("!B", 0x80 | len(text)) if len(text) < 126 else struct.pack("!BH", 0x80 | 126, len(text))
        self.file.write(b"\x81" + size + bytes(4) + text)  # the mask is 0, which changes nothing
        self.file.flush()
        while (message := self.receive()).get("id") != self.last_id:
            self.events.append(message)
        if "error" in message:
            sys.exit(f"{method}: {message['error']['message']}")
        return message["result"]

    def wait(self, is_expected):
        """Waits for an event, which may have arrived earlier."""
        while not any(is_expected(event) for event in self.events):
            self.events.append(self.receive())


arguments = dict(argument[2:].split("=", 1) for argument in sys.argv[1:] if argument.startswith("--") and "=" in argument)
url = arguments.get("url") or sys.exit("cannot take a screenshot: no --url")
if not url.lower().startswith(("http://", "https://")):
    print(f"{url} is not the address of a web page", file=sys.stderr)
    sys.exit(10)

try:
    # In an event that a record started, the browser is in the folder of the crawl.
    folders = [folder for folder in ("..", os.environ.get("CRAWL_DIR")) if folder]
    ports = [os.path.join(folder, "chrome/profile/DevToolsActivePort") for folder in folders]
    with open(next(filter(os.path.exists, ports), ports[0])) as file:
        browser = DevTools(*file.read().split())
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    tab = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.call("Page.enable", tab)
    browser.call("Page.setLifecycleEventsEnabled", tab, enabled=True)
    page = browser.call("Page.navigate", tab, url=url)
    if "errorText" in page:
        sys.exit(f"cannot load {url}: {page['errorText']}")
    loaded = {"loaderId": page["loaderId"], "name": "load"}
    browser.wait(lambda event: loaded.items() <= event.get("params", {}).items())
    picture = base64.b64decode(browser.call("Page.captureScreenshot", tab)["data"])
    browser.call("Target.closeTarget", targetId=target)
except FileNotFoundError:
    sys.exit("no browser is running; start one with `rigup run CrawlSetup,Snapshot`")
except (OSError, ValueError, struct.error) as error:
    sys.exit(f"cannot talk to the browser: {error}")

with open("screenshot.png", "wb") as file:
    file.write(picture)
print(json.dumps({"type": "ArchiveResult", "status": "succeeded", "output_str": "screenshot.png"}))
