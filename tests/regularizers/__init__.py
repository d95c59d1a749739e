"""Tests of gantrain.regularizers."""
