"""``python -m gantrain``, the same as ``gantrain``."""

import os
import sys
from contextlib import suppress

with suppress(OSError):  # there may be no current folder
    if not sys.flags.safe_path and os.path.samefile(sys.path[0] or ".", "."):  # noqa: PTH121
        del sys.path[0]  # Python has put the current folder first: code that lies there would be run

from gantrain.cli.train import main

main()
