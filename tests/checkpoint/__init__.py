"""Tests of gantrain.checkpoint."""
