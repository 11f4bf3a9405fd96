"""Refuses inputs that do not overlap the reference, and evaluations without a pixel to score."""

import numpy as np

from snowcover.errors import UserError
from snowcover.evaluate.align import Alignment
from snowcover.evaluate.findings import Findings
from snowcover.evaluate.rasters import Metres
from snowcover.evaluate.site import Site
from snowcover.prepare.extent import ring
from snowcover.prepare.reprojection import WGS84, Grid, project


class NoOverlap(UserError):
    """A raster does not overlap the reference."""


class NothingToScore(UserError):
    """No pixel is observed in the reference and in all products."""


def refuse_no_overlap(site: Site) -> None:
    """Raises: NoOverlap"""
    for product in site.products:
        if not any(file.alignment.overlaps() for file in product.files):
            file = product.files[0].file
            raise _no_overlap_error(f"maps ({product.name}): {file.uri}", file.grid, site)
    for key, metres in (("canopy_height", site.canopy), ("elevation", site.elevation)):
        if isinstance(metres, Metres) and not Alignment(metres.grid, site.grid).overlaps():
            raise _no_overlap_error(f"{key}={metres.file.uri}", metres.grid, site)


def _no_overlap_error(subject: str, grid: Grid, site: Site) -> NoOverlap:
    return NoOverlap(
        f"{subject} lies at {_place(grid)}, and the reference {site.reference.file.uri} at {_place(site.grid)}: they "
        "do not overlap: give files of the same area, or correct the coordinate reference system of one."
    )


def _place(grid: Grid) -> str:
    longitudes, latitudes = project(grid.crs, WGS84, *ring(grid, 9))
    return (
        f"{np.min(longitudes):.3f} to {np.max(longitudes):.3f} degrees east and "
        f"{np.min(latitudes):.3f} to {np.max(latitudes):.3f} degrees north"
    )


def refuse_nothing_to_score(findings: Findings) -> None:
    """Raises: NothingToScore"""
    counter, site = findings.counter, findings.site
    common = counter.common[:, 0].sum(axis=(0, 2, 3))  # [unseen or trained]
    if common[0] or (common[1] and not counter.leaves_out_trained):
        return
    if common[1]:
        raise NothingToScore(
            "All ground that the reference and the maps share was used to train the maps' networks: give ground=all to "
            "score it nevertheless, or a reference of another area."
        )
    if not findings.reference_px:
        left_out = " that is not excluded" if site.exclusion.shapes or site.exclusion.rasters else ""
        raise NothingToScore(
            f"The reference {site.reference.file.uri} has no observed pixel{left_out} where the maps lie: check its "
            "nodata value, and that it is of the same area."
        )
    observed_px = counter.own.sum(axis=(0, 1, 3))
    blind = [name for name, pixels in zip(counter.products, observed_px, strict=True) if not pixels]
    if blind:
        files = next(product.files for product in site.products if product.name == blind[0])
        raise NothingToScore(
            f"maps ({blind[0]}): {files[0].file.uri} is unobserved wherever the reference is observed: check its "
            "nodata value, or give a map of that ground."
        )
    raise NothingToScore(
        f"No pixel is observed in the reference and in each of {', '.join(counter.products)}: evaluate "
        "products without common ground separately."
    )
