"""What each command of `keras-vit` does: its arguments, their checks, and the call."""
