#!/usr/bin/env python3
# headers: writes the status and headers of the response from --url, and of each redirect on the way to it.
import json
import sys
import urllib.error
import urllib.request

arguments = dict(argument[2:].split("=", 1) for argument in sys.argv[1:] if argument.startswith("--") and "=" in argument)
url = arguments.get("url") or sys.exit("cannot fetch headers: no --url")
if not url.lower().startswith(("http://", "https://")):
    print(f"{url} is not the address of a web page", file=sys.stderr)
    sys.exit(10)

responses = []


def add_response(address, status, headers):
    responses.append({"url": address, "status": status, "headers": [[name, value] for name, value in headers.items()]})


class Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, body, status, message, headers, location):
        add_response(request.full_url, status, headers)
        return super().redirect_request(request, body, status, message, headers, location)


try:
    request = urllib.request.Request(url, headers={"User-Agent": "rigup-headers"})
    with urllib.request.build_opener(Redirects).open(request, timeout=30) as response:
        add_response(response.url, response.status, response.headers)
except urllib.error.HTTPError as error:  # an error status is a response, too
    add_response(error.url, error.code, error.headers)
except (OSError, ValueError) as error:  # no response, or an invalid address
    sys.exit(f"{url}: {error}")

with open("headers.json", "w") as file:
    json.dump({**responses[-1], "redirects": responses[:-1]}, file, indent=2)
    file.write("\n")
print(json.dumps({"type": "ArchiveResult", "status": "succeeded", "output_str": "headers.json", "http_status": responses[-1]["status"]}))
