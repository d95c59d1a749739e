"""The version, by itself: whoever records it imports nothing else."""

VERSION = "0.1.0"
