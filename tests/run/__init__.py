"""Tests of gantrain.run."""
