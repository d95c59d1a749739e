"""Commands: parse, build, run. torch is imported inside the job, so that --help and --cfg answer at once.

`train.py`, `eval.py`, `export.py`, `report.py`, `sample.py`, `status.py` and `theory.py` are a command each; the other
files are shared by commands. Above everything: nothing else imports this package.
"""

import warnings

# configs/hydra/launcher/*.yaml are presets of launchers that bring a schema of the same name, which checks them.
# Hydra 1.3 does that, and warns that later ones will not, three times a job.
warnings.filterwarnings("ignore", message=r"(?s).*is validated against ConfigStore schema with the same name")
