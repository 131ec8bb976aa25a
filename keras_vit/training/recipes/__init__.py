"""Recipes: published training settings, and how they are scaled to a dataset."""
