#!/usr/bin/env python3
# example: keeps a log of daemons that have failed for good. Send a message to yourself here.
import os
import sys
from datetime import datetime, timezone

request = dict(arg[2:].split("=", 1) for arg in sys.argv[1:] if "=" in arg)
with open(os.path.join(os.environ["DATA_DIR"], "example.log"), "a") as log:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    print(now, request["name"], "failed:", request.get("last-error", ""), file=log)
