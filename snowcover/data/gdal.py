"""GDAL's settings for a thread of ours."""

import rasterio
from rasterio.session import DummySession


def environment(**settings: str | int) -> rasterio.Env:
    """To read files in: without one, each opening of a file costs 20 ms.

    Files reach GDAL from memory or the disk. Left to itself rasterio would look for AWS credentials, through a session
    of boto3 made for each tile, wherever they are in the environment.
    """
    return rasterio.Env(session=DummySession(), GDAL_NUM_THREADS="1", **settings)
