"""Tests of gantrain.reference."""
