"""TensorBoard on every backend, or one clear word of what it needs."""

from keras_vit import backend


def tensorboard(folder, histograms=0):
    """Returns Keras's TensorBoard callback: losses, metrics and learning rate of every epoch.

    Look at them with `tensorboard --logdir FOLDER`. Keras writes the files with TensorFlow,
    whatever backend it computes with; TensorFlow then leaves the GPU to that backend.

    Args:
        folder: where the files go, one folder for each training.
        histograms: epochs from one histogram of all weights to the next, 0 for none.

    Returns:
        A `keras.callbacks.TensorBoard`. Put it after callbacks that add to the logs, such as
        `FewShot`.

    Raises:
        ImportError: TensorFlow or TensorBoard is not installed.

    Example:
    >>> logs = keras_vit.training.tensorboard("runs/first/logs")  # doctest: +SKIP
    >>> model.fit(data.train, callbacks=[logs])  # doctest: +SKIP
    """
    import keras

    ensure_installed()
    backend.leave_the_gpu()
    return keras.callbacks.TensorBoard(folder, histogram_freq=histograms, write_graph=False)


def ensure_installed():
    """Raises `ImportError` unless TensorFlow and TensorBoard are installed."""
    names = ("tensorflow", "tensorboard")
    missing = [name for name in names if not backend.is_installed(name)]
    if missing:
        raise ImportError(
            f"The logs need TensorFlow and TensorBoard; not installed: {', '.join(missing)}. "
            f"Run: pip install {' '.join(missing)}"
        )
