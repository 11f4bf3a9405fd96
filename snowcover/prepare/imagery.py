"""A scene before its pixels are read: its band names, its UDM, and what its values mean."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from snowcover import storage
from snowcover.prepare import fill, names, raster, scene, udm
from snowcover.prepare.config import ImageryConfig
from snowcover.prepare.nodata import nodata_values, tile_nodata
from snowcover.prepare.raster import Raster
from snowcover.prepare.scene import SceneSource
from snowcover.sensors import planetscope


@dataclass(frozen=True)
class Imagery:
    """A scene on the local disk, with everything needed to read it."""

    raster: Raster
    names: tuple[str, ...]
    """of its data bands, in its order"""
    udm: udm.Udm | None
    factors: tuple[float, ...] | None
    """per band, the factor from radiance to reflectance x 10000; None if it is not converted"""
    unobserved: tuple[float, ...]
    """values of unobserved pixels in the file"""
    nodata: float
    """of tiles made from it"""

    @property
    def name(self) -> str:
        return self.raster.name

    @contextmanager
    def opened(self) -> Iterator[SceneSource]:
        """The scene with all bands, opened for one thread.

        Raises: BrokenRaster
        """
        found, mask = self.raster, self.udm
        with ExitStack() as stack:
            file = stack.enter_context(raster.opened(found.uri, found.path))
            flags = stack.enter_context(raster.opened(mask.uri, mask.path)) if mask else None
            yield SceneSource(file, found.grid, found.pixels, self.nodata, self.unobserved, mask, flags)


def inspect(config: ImageryConfig, uri: str, scratch: str) -> Imagery:
    """Read the metadata of a scene; one in S3 is first copied to the folder `scratch`.

    Raises: UserError, naming the scene.
    """
    found = raster.inspect(uri, raster.local_file(uri, scratch), config.crs)
    scene.check_type(found)
    band_names = names.band_names(found, config.bands)
    files = _companion_files(uri)
    mask = _udm(config, found, files, scratch)
    factors = _factors(config, found, files)
    unobserved, nodata = _unobserved(config, found)
    return Imagery(found, band_names, mask, factors, unobserved, nodata)


def _unobserved(config: ImageryConfig, found: Raster) -> tuple[tuple[float, ...], float]:
    """The values of unobserved pixels in the scene, and the nodata value of tiles made from it.

    Without a nodata tag or a mask, 0 is unobserved.
    """
    pixels = found.pixels
    nodata = nodata_values(found.uri, pixels, config.nodata)
    unobserved = nodata if nodata or pixels.has_mask else (0.0,)
    with raster.settings(), raster.opened(found.uri, found.path) as file:
        fill.check_scene(found.uri, file, pixels, unobserved, config.nodata)
    return unobserved, tile_nodata(pixels.dtype, nodata)


def _companion_files(uri: str) -> list[str]:
    """The files next to the scene whose names start with the same date and time."""
    folder, slash, name = uri.rpartition("/")
    files = storage.list_files(f"{folder}{slash}{'_'.join(name.split('_')[:2])}")
    return [file.uri for file in files if file.uri.rpartition("/")[0] == folder and file.uri != uri]


def _udm(config: ImageryConfig, found: Raster, files: Sequence[str], scratch: str) -> udm.Udm | None:
    uri = config.udm.file or planetscope.udm_of(found.uri, files)
    if not config.udm.use or uri is None:
        return None
    mask = raster.inspect(uri, raster.local_file(uri, scratch), config.crs)
    return udm.check(mask, found, config.udm.bits, config.udm.bands)


def _factors(config: ImageryConfig, found: Raster, files: Sequence[str]) -> tuple[float, ...] | None:
    """Factors per band from radiance to reflectance x 10000; None if the scene is not converted."""
    if not scene.turns(found.name, config.radiance):
        return None
    if found.dtype == "uint8":
        raise scene.WrongType(
            f"{found.uri} holds uint8 pixels, which are too small for reflectance "
            f"x {planetscope.REFLECTANCE_SCALE}: set radiance=keep."
        )
    uri = planetscope.metadata_of(found.uri, files)
    if uri is None:
        raise planetscope.MissingCoefficients(
            f"{found.uri} has no metadata XML next to it, which radiance=reflectance needs: download it, or set "
            "radiance=keep."
        )
    found_factors = planetscope.reflectance_coefficients(storage.read(uri), uri, found.bands)
    return tuple(factor * planetscope.REFLECTANCE_SCALE for factor in found_factors)
