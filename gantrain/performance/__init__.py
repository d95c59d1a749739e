"""The speed of the game: which ways of going faster are picked, recordings of turns, the cost of a step, and profiles.

Nothing here changes which game is played. Above training, below build and the commands.
"""
