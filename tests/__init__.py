"""Tests: a file per module, a sentence per test."""
