"""The fault matrix: every promise of docs/reliability.md, one test or more for each of its rows."""
