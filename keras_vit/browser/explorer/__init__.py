"""The Explorer: a small Vision Transformer at work, step by step, as one HTML file.

explorer_file.py   `write_explorer`
drawings.py        six example images

explorer.html      the screens and their texts, with explorer.css

scripts/
state.js           the state of the page, and the worker's results
widgets.js         maps, strips, tiles and choices
tour_inputs.js     steps 1 to 4
tour_blocks.js     steps 5 to 8
play.js            Play, and What matters
main.js            the image, the prediction, the camera
explore.js         the worker's computations
"""
