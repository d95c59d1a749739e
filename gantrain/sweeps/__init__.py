"""Many runs: which settings a search tries next, and the lines that a sweep prints as its jobs end.

Below the commands, which are the only ones to import it, beside Hydra (`hydra_plugins/`).
"""
