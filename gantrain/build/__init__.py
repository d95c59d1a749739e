"""From a configuration to objects: which classes may be built, how, and which choices cannot work together.

Only `making.py` instantiates; `scheduling.py` builds what moves numbers, `building.py` all else. `trust.py` says what
may be named, `checks.py` what fits. Above every part, below the commands.
"""

from gantrain.build.building import (
    Built,
    Quality,
    build,
    build_data,
    build_generator,
    build_inputs,
    build_loggers,
    build_quality,
    build_study,
    build_survey,
    directions,
    pick_device,
    scratch,
    settled_format,
)

__all__ = [
    "Built",
    "Quality",
    "build",
    "build_data",
    "build_generator",
    "build_inputs",
    "build_loggers",
    "build_quality",
    "build_study",
    "build_survey",
    "directions",
    "pick_device",
    "scratch",
    "settled_format",
]
