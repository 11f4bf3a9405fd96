"""One command from start to end: score the maps or runs, write the report, record it in MLflow."""

import logging
from collections.abc import Mapping

import cv2
from tqdm import tqdm

from snowcover.data import gdal_warnings
from snowcover.evaluate import publish, record, table
from snowcover.evaluate.chunks import chunks
from snowcover.evaluate.config import Config
from snowcover.evaluate.facts import facts, notes
from snowcover.evaluate.findings import Findings
from snowcover.evaluate.fractional import histogram
from snowcover.evaluate.map_areas import map_area
from snowcover.evaluate.overlap import refuse_no_overlap, refuse_nothing_to_score
from snowcover.evaluate.probabilities import reliability
from snowcover.evaluate.results import Evaluation, Ground
from snowcover.evaluate.rows import RowMaker, fractions_of
from snowcover.evaluate.score_rows import ScoreRows
from snowcover.evaluate.site import Site, inspect_site
from snowcover.prepare import raster, work_folders
from snowcover.signals import stopping_on_signals

log = logging.getLogger(__name__)


def make_report(config: Config) -> None:
    """Score what the config names; write the report, its figures and evaluation.csv; record it in MLflow.

    Raises:
        UserError
        Stopped: Ctrl-C or SIGTERM.
    """
    cv2.setNumThreads(1)  # we use threads ourselves
    out = config.out.rstrip("/")
    with stopping_on_signals(), raster.settings(), gdal_warnings.taken():  # else GDAL itself writes to the terminal
        publish.refuse_existing(out, config.overwrite)
        work_folders.check_out(out)
        work_folders.check_scratch()
        evaluation, training_runs = _evaluate(config)
        files = publish.report_files(evaluation)
        publish.publish(files, out)
    for note in evaluation.notes:
        log.warning("%s", note)
    log.info("%s", table.summary(evaluation))
    log.info("%s", f"{out}/{publish.PAGE}")
    record.record(config, evaluation, files, training_runs)


def _evaluate(config: Config) -> tuple[Evaluation, Mapping[str, str]]:
    if config.maps is not None:
        return evaluate_maps(config)
    from snowcover.evaluate.evaluate_runs import evaluate_runs  # torch takes half a gigabyte, and maps do not need it

    return evaluate_runs(config)


def evaluate_maps(config: Config) -> tuple[Evaluation, Mapping[str, str]]:
    """Scores of maps against a reference; and the training run of each product, if it has exactly one.

    Raises: UserError
    """
    with work_folders.scratch_folder() as scratch:
        site = inspect_site(config, scratch)
        refuse_no_overlap(site)
        ground = ground_of(config, site)
        findings = Findings(site, leaves_out_trained=ground == "unseen")
        with tqdm(desc="evaluate", total=len(site.windows()), unit="window", disable=None, leave=False) as bar:
            for chunk, counted in chunks(site, findings.count):
                findings.add(chunk, counted)
                bar.update()
        refuse_nothing_to_score(findings)
        areas = {product.name: area for product in site.products if (area := map_area(product)) is not None}
    scores = ScoreRows(
        findings.counter, findings.probabilities, site.blocks.places, ground, config.draws, config.seed
    )  # fmt: skip
    return _evaluation(config, findings, RowMaker(scores, findings, areas)), _training_runs(site)


def ground_of(config: Config, site: Site) -> Ground:
    """The ground to score: all ground if it is unknown where the products' networks were trained."""
    return "unseen" if config.ground == "unseen" and site.trained is not None else "all"


def _evaluation(config: Config, findings: Findings, maker: RowMaker) -> Evaluation:
    sums = findings.probabilities
    return Evaluation(
        products=tuple(findings.counter.products),
        rows=tuple(maker.rows()),
        facts=facts(config, findings, maker.scores.ground),
        notes=tuple(notes(config, findings)),
        overview=findings.overview.overview(findings.site.pixel_m[0]),
        reliability={name: reliability(by_block.sum(axis=0)) for name, by_block in sums.items()},
        fractions={(name, cell_m): histogram(found) for name, cell_m, found in fractions_of(findings)},
    )


def _training_runs(site: Site) -> dict[str, str]:
    return {product.name: product.runs[0] for product in site.products if len(product.runs) == 1}
