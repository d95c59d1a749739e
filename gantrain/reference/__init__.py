"""What every setting means: read from the YAML files of ``configs/``, their comments, the schema and the classes.

``files.py`` reads one file with its comments, ``targets.py`` the arguments of a class from its source, ``keys.py``
joins both with the schema: which options there are, and of every key the default, type, range, meaning and source.
``gantrain help`` prints it and the site's reference lists it, so both say the same. Below are the schema and the rules
for folders, above is ``cli``. Nothing here imports torch.
"""

from gantrain.reference.files import Brought, Line, Option, read
from gantrain.reference.keys import Catalogue, Key, Setter

__all__ = ["Brought", "Catalogue", "Key", "Line", "Option", "Setter", "read"]
