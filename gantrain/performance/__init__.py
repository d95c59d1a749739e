"""How fast the same game is played: what is picked, recordings of turns, what a step costs, where its time goes.

None of it says what is played. Above training, below build and the commands.
"""
