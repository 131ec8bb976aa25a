"""The version of the package: alone here, so that building a wheel imports no backend."""

__version__ = "0.1.0"
