"""``python -m gantrain``, the same as ``gantrain``."""

from gantrain.cli.train import main

main()
