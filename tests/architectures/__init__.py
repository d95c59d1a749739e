"""Tests of gantrain.architectures."""
