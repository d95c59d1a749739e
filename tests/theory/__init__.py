"""Tests of gantrain.theory."""
