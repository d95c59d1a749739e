"""Tests of gantrain.training."""
