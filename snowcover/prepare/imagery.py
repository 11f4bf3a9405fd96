"""A scene before its pixels are read: its bands by name, its UDM, and what its numbers mean."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from snowcover import storage
from snowcover.prepare import fill, names, radiance, raster, scene, udm
from snowcover.prepare.config import ImageryConfig
from snowcover.prepare.nodata import nodata_values, tile_nodata
from snowcover.prepare.raster import Raster
from snowcover.prepare.scene import SceneSource


@dataclass(frozen=True)
class Imagery:
    """A scene on this machine's disk, and all that must be known to read it."""

    raster: Raster
    names: tuple[str, ...]
    """of its bands of data, in its order"""
    udm: udm.Udm | None
    factors: tuple[float, ...] | None
    """per band, what turns its radiance into reflectance x 10000; None where it stays what it is"""
    unobserved: tuple[float, ...]
    """what pixels of the file are equal to where nothing was observed"""
    nodata: float
    """of what is made from it"""

    @property
    def name(self) -> str:
        return self.raster.name

    @contextmanager
    def opened(self) -> Iterator[SceneSource]:
        """The scene for one thread, all its bands.

        Raises: BrokenRaster
        """
        found, mask = self.raster, self.udm
        with ExitStack() as stack:
            file = stack.enter_context(raster.opened(found.uri, found.path))
            flags = stack.enter_context(raster.opened(mask.uri, mask.path)) if mask else None
            yield SceneSource(file, found.grid, found.pixels, self.nodata, self.unobserved, mask, flags)


def inspect(config: ImageryConfig, uri: str, scratch: str) -> Imagery:
    """Look at a scene; one in S3 is copied into the folder `scratch` first.

    Raises: UserError, naming the scene.
    """
    found = raster.inspect(uri, raster.local_file(uri, scratch), config.crs)
    scene.check_type(found)
    band_names = names.band_names(found, config.bands)
    beside = _beside(uri)
    mask = _udm(config, found, beside, scratch)
    factors = _factors(config, found, beside)
    unobserved, nodata = _unobserved(config, found)
    return Imagery(found, band_names, mask, factors, unobserved, nodata)


def _unobserved(config: ImageryConfig, found: Raster) -> tuple[tuple[float, ...], float]:
    """What unobserved pixels of the scene are equal to, and what they are in what is made from it.

    A scene that says nothing of unobserved pixels, neither by a tag nor by a mask, has 0 there.
    """
    pixels = found.pixels
    said = nodata_values(found.uri, pixels, config.nodata)
    unobserved = said if said or pixels.has_mask else (0.0,)
    with raster.settings(), raster.opened(found.uri, found.path) as file:
        fill.check_scene(found.uri, file, pixels, unobserved, config.nodata)
    return unobserved, tile_nodata(pixels.dtype, said)


def _beside(uri: str) -> list[str]:
    """The files in the scene's folder whose names begin like it, up to the acquisition's time."""
    folder, slash, name = uri.rpartition("/")
    files = storage.list_files(f"{folder}{slash}{'_'.join(name.split('_')[:2])}")
    return [file.uri for file in files if file.uri.rpartition("/")[0] == folder and file.uri != uri]


def _udm(config: ImageryConfig, found: Raster, beside: Sequence[str], scratch: str) -> udm.Udm | None:
    uri = config.udm.file or udm.beside(found.uri, beside)
    if not config.udm.use or uri is None:
        return None
    mask = raster.inspect(uri, raster.local_file(uri, scratch), config.crs)
    return udm.check(mask, found, config.udm.bits, config.udm.bands)


def _factors(config: ImageryConfig, found: Raster, beside: Sequence[str]) -> tuple[float, ...] | None:
    """What turns the scene's radiance into reflectance, None where it stays what it is."""
    if not scene.turns(found.name, config.radiance):
        return None
    if found.dtype == "uint8":
        raise scene.WrongType(
            f"{found.uri} holds uint8 pixels, which are too small for reflectance x {scene.REFLECTANCE_SCALE}: set "
            "radiance=keep."
        )
    uri = radiance.metadata_beside(found.uri, beside)
    if uri is None:
        raise radiance.MissingCoefficients(
            f"{found.uri} has no metadata XML beside it, which radiance=reflectance needs: download it, or set "
            "radiance=keep."
        )
    found_factors = radiance.coefficients(storage.read(uri), uri, found.bands)
    return tuple(factor * scene.REFLECTANCE_SCALE for factor in found_factors)
