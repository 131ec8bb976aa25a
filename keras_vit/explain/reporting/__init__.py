"""All views of a model and some images on one page.

building.py   computes the views and assembles the page
elements.py   fills templates; images and figures as elements of the page
templates/    fragments of the page, and its style
"""
