"""The game: who moves when, what a move does, and what the next step needs to know of it.

`trainer.py` is Algorithm 1, `player.py` the only step of an optimizer. Above checkpoint and evaluation, below
performance, build and the commands.
"""
