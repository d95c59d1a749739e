"""Tests of gantrain.report."""
