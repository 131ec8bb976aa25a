"""Models as web pages: they compute in the browser, without a server or a library.

records.py        the layers of a model as data; refuses unsupported layers
facts.py          how a model was trained, and example images
page_file.py      `write_page`; weights as text
explorer/         `write_explorer`

engine/
matrices.js       the product of matrices, softmax, activations
engine.js         layers.py and vit.py in JavaScript
descendants.js    the changes of later models
convolutions.js   the ResNet of a hybrid
weights.js        reads the weights that page_file.py wrote
pixels.js         images resized as in Python
maps.js           attention, rollout, occlusion
worker.js         computes without blocking the page

page/
page.html         the visible page, with page.css and page.js
end.html          closes it and the Explorer, which share base.css, shared.js and colors.js
"""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.browser.explorer import write_explorer
    from keras_vit.browser.page_file import write_page

__all__ = ["write_explorer", "write_page"]
