"""Tests of gantrain.performance."""
