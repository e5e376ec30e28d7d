"""Fits on a Dask cluster: the public face of `gaussmix.data.dask`."""

from gaussmix.data.dask import DaskData, connect, data, fit

__all__ = ["DaskData", "connect", "data", "fit"]
