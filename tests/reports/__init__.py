"""Tests of gantrain.reports."""
