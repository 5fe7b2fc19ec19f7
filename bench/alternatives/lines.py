"""A process that answers lines of JSON on stdin with lines on stdout, one after the other, until stdin is closed."""

from __future__ import annotations

import json
import sys

from work import call

for line in sys.stdin:
    print(json.dumps(call(json.loads(line))), flush=True)
