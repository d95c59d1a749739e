"""Tests of gantrain.sweeps."""
