"""Tests of gantrain.build."""
