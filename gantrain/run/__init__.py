"""A run's folder and everything that is written into it, and how it is found and read again.

Reading needs no torch: only `records.py` and `pictures.py` import it. Any floor above may import this package.
"""
