#!/usr/bin/env python3
# hashes: waits for the background hooks that exit on their own, and writes the SHA-256 digests of the other plugins'
# files.
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

own_folder = Path.cwd()
timeout = int(os.environ.get("HASHES_TIMEOUT") or os.environ.get("TIMEOUT") or 300)
deadline = time.monotonic() + max(timeout - 10, timeout / 2)


def is_any_running():
    """Returns whether a background hook of this event is still running, except daemons, which run until all hooks exit."""
    listed = subprocess.run([os.environ["RIGUP"], "process", "list", "--status", "running", "--json"], stdout=subprocess.PIPE, check=True)
    hooks = map(json.loads, listed.stdout.splitlines())
    return any(".finite." in hook["hook_name"] and Path(hook["pwd"]).parent == own_folder.parent for hook in hooks)


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


while is_any_running():
    if time.monotonic() > deadline:
        sys.exit("cannot hash the files: a background hook is still running")
    time.sleep(0.1)

hashes = {}
for folder, folders, names in os.walk(own_folder.parent):
    if Path(folder) == own_folder.parent:
        names = [name for name in names if name != "index.jsonl"]  # rigup adds results to it
    folders[:] = [name for name in folders if Path(folder, name) != own_folder]
    for path in (Path(folder, name) for name in names):
        try:
            if path.is_symlink() or not path.is_file():
                continue
            hashes[str(path.relative_to(own_folder.parent))] = sha256(path)
        except OSError as error:
            print(f"skipped: {error}", file=sys.stderr)

listed = sorted(hashes.items(), key=lambda item: os.fsencode(item[0]))
lines = b"".join(f"{digest}  ".encode() + os.fsencode(path) + b"\n" for path, digest in listed)
with open("hashes.json", "w") as file:
    json.dump(dict(listed), file, indent=2)
    file.write("\n")
digest = hashlib.sha256(lines).hexdigest()
print(json.dumps({"type": "ArchiveResult", "status": "succeeded", "output_str": "hashes.json", "files": len(listed), "sha256": digest}))
