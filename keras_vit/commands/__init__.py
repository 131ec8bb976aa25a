"""The commands of `keras-vit`, one module each: arguments in, calls of public functions.

A command has two functions, see `parts.command`. Keras is imported between them, so that a mistake
is reported at once. No module here imports Keras, or one that does, outside of a function.
"""
