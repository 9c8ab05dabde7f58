"""Serves packages of PyPI and npm on a loopback address, with the cache headers that pypi.org, files.pythonhosted.org and
registry.npmjs.org send. A proxy of a registry often sends none, and package managers then ask it again at every install.

    registry.py INDEX REGISTRY

INDEX is the simple index, and REGISTRY the npm registry, from which each answer is fetched once, when it is first asked
for. Prints the address of the server, whose index is /simple, with the JSON API at /pypi, and whose npm registry is /npm.
"""

import gzip
import hashlib
import io
import json
import os
import ssl
import sys
import urllib.parse
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIMPLE = "application/vnd.pypi.simple.v1+json"
INSTALL = "application/vnd.npm.install-v1+json"

# The Cache-Control header of each kind of answer.
CACHED = {
    "simple": "max-age=600, public",
    "pypi": "max-age=900, public",
    "file": "max-age=365000000, immutable, public",
    "npm": "public, max-age=300",
    "tarball": "public, immutable, max-age=31557600",
}


class Upstream:
    """The registries that are mirrored, and their answers so far."""

    def __init__(self, index, registry):
        self.index, self.registry = index.rstrip("/"), registry.rstrip("/")
        self.context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT"))
        self.answers, self.files = {}, {}

    def fetch(self, url, accept):
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request, context=self.context) as answer:
            return answer.read()

    def answer(self, kind, name, accept, address):
        """Returns the content type and the body of an answer, as bytes and compressed."""
        key = (kind, name, accept)
        if key not in self.answers:
            content_type, body = getattr(self, kind)(name, accept, address)
            self.answers[key] = content_type, body, gzip.compress(body)
        return self.answers[key]

    def simple(self, name, _, address):
        url = f"{self.index}/{name}/"
        page = json.loads(self.fetch(url, SIMPLE))
        for file in page["files"]:
            origin = urllib.parse.urljoin(url, file["url"])
            path = urllib.parse.urlsplit(origin).path
            self.files[path.lstrip("/")] = origin.partition("#")[0]
            file["url"] = f"{address}/file{path}"
            # As on pypi.org, also if INDEX is a proxy that does not know the metadata.
            file["core-metadata"] = path.endswith(".whl")
        return SIMPLE, json.dumps(page).encode()

    def pypi(self, name, _, address):
        project = name.removesuffix("/json")
        page = json.loads(self.answer("simple", project, "", address)[1])
        releases = {version: [{"yanked": False}] for version in page["versions"]}
        return "application/json", json.dumps({"info": {"name": project, "version": page["versions"][-1]}, "releases": releases}).encode()

    def file(self, name, *_):
        path = name.removesuffix(".metadata")
        body = self.fetch(self.files[path], "*/*")
        if path != name:
            with zipfile.ZipFile(io.BytesIO(body)) as wheel:
                body = wheel.read(next(file for file in wheel.namelist() if file.endswith(".dist-info/METADATA")))
        return "application/octet-stream", body

    def npm(self, name, accept, address):
        content_type = INSTALL if INSTALL in accept else "application/json"
        packument = json.loads(self.fetch(f"{self.registry}/{name}", content_type))
        for version in packument["versions"].values():
            tarball = version["dist"]["tarball"]
            version["dist"]["tarball"] = f"{address}/npm/{urllib.parse.urlsplit(tarball).path.lstrip('/')}"
        return content_type, json.dumps(packument).encode()

    def tarball(self, name, *_):
        return "application/octet-stream", self.fetch(f"{self.registry}/{name}", "*/*")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = None

    def do_GET(self):
        root, _, name = self.path.lstrip("/").rstrip("/").partition("/")
        kind = "tarball" if root == "npm" and "/-/" in name else root
        accept = INSTALL if kind == "npm" and INSTALL in self.headers.get("Accept", "") else ""
        host, port = self.server.server_address
        try:
            if kind not in CACHED:
                raise FileNotFoundError(self.path)
            content_type, body, compressed = self.upstream.answer(kind, name, accept, f"http://{host}:{port}")
        except (KeyError, OSError) as error:
            print(f"{self.path}: {error}", file=sys.stderr)
            self.send_error(404)
            return
        is_compressed = kind in ("simple", "pypi", "npm") and "gzip" in self.headers.get("Accept-Encoding", "")
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        is_known = self.headers.get("If-None-Match", "").removeprefix("W/") == etag
        body = compressed if is_compressed else body
        self.send_response(304 if is_known else 200)
        self.send_header("Cache-Control", CACHED[kind])
        self.send_header("ETag", etag)
        self.send_header("Vary", "Accept, Accept-Encoding")
        if not is_known:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", len(body))
            if is_compressed:
                self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if not is_known and self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Handler.upstream = Upstream(*sys.argv[1:])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print("http://%s:%d" % server.server_address, flush=True)
    server.serve_forever()
