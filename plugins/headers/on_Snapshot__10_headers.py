#!/usr/bin/env python3
# headers: the status and the headers of the response from --url, and of every redirect that led to it.
import json
import sys
import urllib.error
import urllib.request

arguments = dict(it[2:].split("=", 1) for it in sys.argv[1:] if it.startswith("--") and "=" in it)
url = arguments.get("url") or sys.exit("no --url was given")
if not url.lower().startswith(("http://", "https://")):
    print(f"{url} is no web page", file=sys.stderr)
    sys.exit(10)

responses = []


def note(address, status, headers):
    responses.append({"url": address, "status": status, "headers": [[name, value] for name, value in headers.items()]})


class Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, body, status, message, headers, location):
        note(request.full_url, status, headers)
        return super().redirect_request(request, body, status, message, headers, location)


try:
    request = urllib.request.Request(url, headers={"User-Agent": "rigup-headers"})
    with urllib.request.build_opener(Redirects).open(request, timeout=30) as response:
        note(response.url, response.status, response.headers)
except urllib.error.HTTPError as error:  # a response like any other
    note(error.url, error.code, error.headers)
except (OSError, ValueError) as error:  # no response, or no address
    sys.exit(f"{url}: {error}")

with open("headers.json", "w") as file:
    json.dump({**responses[-1], "redirects": responses[:-1]}, file, indent=2)
    file.write("\n")
print(json.dumps({"type": "ArchiveResult", "status": "succeeded", "output": "headers.json", "http_status": responses[-1]["status"]}))
