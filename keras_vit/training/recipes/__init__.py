"""Recipes: published settings of a training, and what they give for the images at hand."""
