"""Trainings that must reach a target; make test-slow."""
