#!/usr/bin/env python3
# example: keeps a daemon from starting while the disk of its data is nearly full.
import os
import shutil
import sys

request = dict(arg[2:].split("=", 1) for arg in sys.argv[1:] if "=" in arg)
free = shutil.disk_usage(os.environ["DATA_DIR"]).free // 1024
if free < int(os.environ.get("EXAMPLE_MIN_FREE_KB", "102400")):
    # The last line of stderr becomes the last_error of the daemon.
    sys.exit(f"{request['name']} needs more free space than {free} KiB in {os.environ['DATA_DIR']}")
