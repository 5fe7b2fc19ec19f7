"""One piece of work per process: `python once.py WORK` prints the answer as JSON."""

from __future__ import annotations

import json
import sys

from work import call

json.dump(call(sys.argv[1]), sys.stdout)
