"""Tests of gantrain.inputs."""
