#!/usr/bin/env python3
# example: warns about a daemon that uses more memory than EXAMPLE_MAX_RSS bytes.
import json
import os
import sys

limit = int(os.environ.get("EXAMPLE_MAX_RSS", str(1 << 30)))
samples = [json.loads(line) for line in sys.stdin]
above = [sample for sample in samples if sample["rss"] > limit]
if above:
    with open(os.path.join(os.environ["DATA_DIR"], "example.log"), "a") as log:
        print(above[-1]["name"], "uses", above[-1]["rss"], "bytes", file=log)
