"""Tests of gantrain.api, of gantrain in Python."""
