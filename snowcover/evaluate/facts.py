"""The facts and caveats that readers of an evaluation need. Pure text."""

from collections.abc import Iterator

from snowcover.data.dates import days_apart
from snowcover.evaluate.bootstrap import MIN_BLOCKS, too_few_blocks
from snowcover.evaluate.config import Config
from snowcover.evaluate.findings import Findings
from snowcover.evaluate.products import Product
from snowcover.evaluate.results import Ground
from snowcover.evaluate.site import Site
from snowcover.evaluate.words import GROUND

KIND = {"classes": "classes", "probability": "probabilities", "fraction": "shares of snow"}
NEARLY_ALL = 0.995  # share of scored pixels; a note is given for a stratum's raster that covers less
FROM_RASTER = ("canopy_height", "elevation")  # strata that are also config keys of rasters


def facts(config: Config, findings: Findings, ground: Ground) -> dict[str, str]:
    """The facts by name, in the order of the report."""
    site, pixels, reference = findings.site, findings.counter.scored_px, findings.site.reference
    found = {
        "Reference": f"{reference.file.uri.rsplit('/', 1)[-1]}, {'a mask' if reference.is_mask else 'snow depth'}"
        + (f" of {_dashed(reference.date)}" if reference.date else ""),
        "Grid": f"{_size(site.pixel_m)}, {_crs(site)}, {site.grid.width:,} x {site.grid.height:,} pixels",
    }
    if site.thresholds_m:
        first, *others = (f"{threshold_m:g} m" for threshold_m in site.thresholds_m)
        found["Snow"] = f"depth of at least {first}" + (f"; for comparison {', '.join(others)}" if others else "")
    for product in site.products:
        found[product.name] = _of_product(product)
    share = pixels / max(1, findings.reference_px)
    found["Scored on"] = (
        f"{pixels:,} pixels observed in the reference and in every product, {share:.1%} of the reference's where "
        "maps lie"
    )
    found["Ground"] = GROUND[ground]
    if site.acquired is not None and site.sun_deg is not None:
        found["Acquired"] = f"{site.acquired:%Y-%m-%d %H:%M} UTC, the sun {90 - site.sun_deg[0]:.0f}° high"
    if config.exclude:
        found["Left out"] = ", ".join(uri.rsplit("/", 1)[-1] for uri in config.exclude)
    blocks = findings.counter.filled_blocks
    if blocks >= MIN_BLOCKS:
        found["Intervals"] = intervals(config, blocks)
    return found


def intervals(config: Config, blocks: int) -> str:
    """How the intervals were made."""
    drawn = f"{config.draws:,} draws, seed {config.seed}"
    return f"95 %, block bootstrap: {blocks} blocks of {config.block_m:g} m, {drawn}"


def notes(config: Config, findings: Findings) -> Iterator[str]:
    """Caveats, each a sentence."""
    site, pixels = findings.site, findings.counter.scored_px
    for product in site.products:
        yield from _of_date(product, site.reference.date)
    yield from site.notes
    for key in FROM_RASTER:
        if key in findings.counter.in_stratum:
            share = findings.counter.in_stratum[key] / max(1, pixels)
            if share < NEARLY_ALL:
                yield (f"{key} covers {share:.0%} of the scored ground; the rest is in none of its bins.")
    if (few := too_few_blocks(findings.counter.filled_blocks, config.block_m)) is not None:
        yield few


def _of_product(product: Product) -> str:
    file = product.files[0].file
    files = file.uri.rsplit("/", 1)[-1] if len(product.files) == 1 else f"{len(product.files)} maps"
    values = product.values
    kind = KIND[values.kind] + (f", snow from {values.threshold:g} on" if values.kind == "probability" else "")
    how = "its own cell for each pixel" if product.is_coarser else "averaged to the reference's pixels"
    dates = sorted({one.date for one in product.files if one.date})
    when = f" of {_dashed(dates[0])}" + (f" to {_dashed(dates[-1])}" if len(dates) > 1 else "") if dates else ""
    return f"{files}{when}: {kind}; {how}"


def _of_date(product: Product, reference: str) -> Iterator[str]:
    gaps = [(days, one) for one in product.files if (days := days_apart(one.date, reference))]
    if gaps:
        days, farthest = max(gaps, key=lambda gap: gap[0])
        when = "before" if farthest.date < reference else "after"
        whose = product.name if len(product.files) == 1 else f"{farthest.scene} of {product.name}"
        yield (
            f"{whose} is of {_dashed(farthest.date)}, {days} day{'s' if days > 1 else ''} {when} the reference: snow "
            "may have come or gone in between."
        )


def _dashed(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}"


def _size(pixel_m: tuple[float, float]) -> str:
    width, height = (f"{side:.3g}" for side in pixel_m)
    return f"pixels of {width} m" if width == height else f"pixels of {width} x {height} m"


def _crs(site: Site) -> str:
    authority = site.grid.crs.to_authority()
    return ":".join(authority) if authority else site.grid.crs.to_string()[:60]
