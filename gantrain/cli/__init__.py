"""Commands: parse, build, run. torch is imported inside the job, so that --help and --cfg answer at once."""
