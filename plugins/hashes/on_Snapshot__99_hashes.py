#!/usr/bin/env python3
# hashes: the SHA-256 of every file that the other plugins wrote, once those that work in the background are done.
import hashlib
import json
import os
import sys
import time
from pathlib import Path

here = Path.cwd()
timeout = int(os.environ.get("HASHES_TIMEOUT") or os.environ.get("TIMEOUT") or 300)
deadline = time.monotonic() + max(timeout - 10, timeout / 2)


def is_working(pid_file):
    """A hook that runs has a process.pid in its run dir; a daemon ends only after this hook."""
    try:
        os.kill(int(pid_file.read_text().split()[0]), 0)
        return ".finite." in pid_file.parent.parent.name
    except (OSError, ValueError, IndexError):
        return False


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


while any(map(is_working, here.parent.glob("*/.hooks/*/*/process.pid"))):
    if time.monotonic() > deadline:
        sys.exit("a background hook is still at work")
    time.sleep(0.05)

hashes = {}
for folder, folders, names in os.walk(here.parent):
    folders[:] = [it for it in folders if it != ".hooks" and Path(folder, it) != here]
    for path in (Path(folder, name) for name in names):
        try:
            if path.is_symlink() or not path.is_file():
                continue
            hashes[str(path.relative_to(here.parent))] = sha256(path)
        except OSError as error:
            print(f"left out: {error}", file=sys.stderr)

listed = sorted(hashes.items(), key=lambda it: os.fsencode(it[0]))
lines = b"".join(f"{digest}  ".encode() + os.fsencode(path) + b"\n" for path, digest in listed)
with open("hashes.json", "w") as file:
    json.dump(dict(listed), file, indent=2)
    file.write("\n")
digest = hashlib.sha256(lines).hexdigest()
print(json.dumps({"type": "ArchiveResult", "status": "succeeded", "output": "hashes.json", "files": len(listed), "sha256": digest}))
