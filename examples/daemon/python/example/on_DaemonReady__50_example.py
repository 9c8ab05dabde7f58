#!/usr/bin/env python3
# example: keeps the pid of a ready daemon in a file for other programs.
import os
import sys
from pathlib import Path

request = dict(arg[2:].split("=", 1) for arg in sys.argv[1:] if "=" in arg)
file = Path(os.environ["DATA_DIR"], request["name"] + ".pid")
# Write to a temporary file and rename it, so that no reader sees half a pid.
part = file.with_suffix(".part")
part.write_text(request.get("pid", "") + "\n")
part.rename(file)
