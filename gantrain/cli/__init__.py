"""Commands: parse, build, run. torch is imported inside the job, so that --help and --cfg answer at once."""

import warnings

# configs/hydra/launcher/*.yaml are presets of launchers that bring a schema of the same name, which checks them.
# Hydra 1.3 does that, and warns that later ones will not, three times a job.
warnings.filterwarnings("ignore", message=r"(?s).*is validated against ConfigStore schema with the same name")
