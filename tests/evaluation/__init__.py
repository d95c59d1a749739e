"""Tests of gantrain.evaluation."""
