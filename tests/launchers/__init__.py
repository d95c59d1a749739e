"""Sweeps through every launcher, each on the real thing."""
