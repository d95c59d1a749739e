"""Tests of gantrain.losses."""
