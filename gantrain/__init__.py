"""gantrain: train, compare and study generative adversarial networks from one command."""

__version__ = "0.1.0"
