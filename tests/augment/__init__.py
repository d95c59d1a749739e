"""Tests of gantrain.augment."""
