#!/usr/bin/env python3
# example: copies programs from the folder EXAMPLE_SOURCE (see config.json).
# Each requirement has a folder of its own, LIB_DIR/example/<name>.
import json
import os
import shutil
import sys
from pathlib import Path

request = dict(arg[2:].split("=", 1) for arg in sys.argv[1:] if arg.startswith("--") and "=" in arg)
allowed = [provider.strip() for provider in request.get("binproviders", "*").split(",")]
if "*" not in allowed and "example" not in allowed:
    sys.exit(10)

name = request["name"].rsplit("/", 1)[-1]
packages = json.loads(request.get("overrides", "{}")).get("example") or name
if isinstance(packages, dict):
    packages = packages.get("packages") or packages.get("install_args") or name
package = packages if isinstance(packages, str) else packages[0]

source = Path(os.environ["EXAMPLE_SOURCE"], package)
if "/" in package or not source.is_file():
    print(f"{source.parent} does not contain {package}", file=sys.stderr)
    sys.exit(0)

# Copy to a temporary name and rename it, so that the program either is complete or does not exist.
program = Path(os.environ["LIB_DIR"], "example", name, name)
part = program.with_name(name + ".part")
program.parent.mkdir(parents=True, exist_ok=True)
shutil.copy(source, part)  # your installer goes here
part.replace(program)

# Probe the version, compute the digest and print the record.
rigup = os.environ["RIGUP"]
os.execv(rigup, [rigup, "hook", "binary", "--provider", "example", "--abspath", program, "--", *sys.argv[1:]])
