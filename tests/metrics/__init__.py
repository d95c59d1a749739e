"""Tests of gantrain.metrics."""
