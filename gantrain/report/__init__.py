"""From folders of runs to one comparison: tables with their uncertainty, curves, and pictures."""
