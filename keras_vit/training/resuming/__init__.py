"""Exact resumption of an interrupted `fit`: the callback `Checkpoint` and its files."""
