"""Tests of gantrain.data."""
