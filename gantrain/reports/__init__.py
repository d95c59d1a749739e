"""From folders of runs to one comparison: tables with their uncertainty, curves, and pictures.

Above run, whose records it reads without torch; only the command `gantrain-report` imports it.
"""
