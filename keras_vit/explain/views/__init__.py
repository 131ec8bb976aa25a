"""The views: one record each, read by `keras-vit explain`, by `explain.report` and by the docs.

A new view needs its function, its plot, a record here, a test and a row in the docs. Records call
functions as attributes of `explain`, so that listing the views does not import Keras.

record.py       the fields of a record, and the request for a view
image_views.py  views of images: maps, tokens, predictions
model_views.py  views of a model as a whole: charts over many images
"""

from keras_vit.explain.views.image_views import IMAGE_VIEWS
from keras_vit.explain.views.model_views import MODEL_VIEWS

VIEWS = {view.name: view for view in (*IMAGE_VIEWS, *MODEL_VIEWS)}
