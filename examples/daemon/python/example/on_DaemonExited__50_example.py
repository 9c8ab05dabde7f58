#!/usr/bin/env python3
# example: removes the file with the pid of a daemon that has ended.
import os
import sys
from pathlib import Path

request = dict(arg[2:].split("=", 1) for arg in sys.argv[1:] if "=" in arg)
Path(os.environ["DATA_DIR"], request["name"] + ".pid").unlink(missing_ok=True)
