"""Tests of gantrain.sweep."""
