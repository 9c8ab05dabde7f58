#!/usr/bin/env python3
# example: keeps what the processes of the group of an unhealthy daemon do, before a restart ends them.
import os
import subprocess
import sys
from pathlib import Path

request = dict(arg[2:].split("=", 1) for arg in sys.argv[1:] if "=" in arg)
if "pid" not in request:
    sys.exit(10)
columns = "pid,ppid,stat,etime,rss,args"
with Path(os.environ["DATA_DIR"], request["name"] + ".unhealthy.txt").open("w") as file:
    subprocess.run(["ps", "-o", columns, "-g", request["pid"]], stdout=file, check=True)
