"""What `gantrain-data` finds in a data set before anyone trains on it.

Above data, whose samples and files it looks at; below build, which says what a configuration names, and the commands.
"""

from gantrain.inspection.facts import Facts, inspect_data, inspect_files

__all__ = ["Facts", "inspect_data", "inspect_files"]
