"""Recipes: published training settings, and what follows from them for a given dataset."""
