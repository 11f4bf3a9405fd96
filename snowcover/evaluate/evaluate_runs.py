"""Evaluates saved runs on their own tiles, from their checkpoints."""

from collections.abc import Iterator, Mapping

from tqdm import tqdm

from snowcover.evaluate.bootstrap import MIN_BLOCKS, too_few_blocks
from snowcover.evaluate.config import Config
from snowcover.evaluate.counts import Counter
from snowcover.evaluate.facts import intervals
from snowcover.evaluate.probabilities import add_probabilities, new_sums, reliability
from snowcover.evaluate.results import Evaluation, Ground
from snowcover.evaluate.saved_run import SavedRun, load_runs, shared_keys
from snowcover.evaluate.saved_tiles import SavedTiles
from snowcover.evaluate.score_rows import ScoreRows
from snowcover.evaluate.words import GROUND

BASELINES = {"forest": "the random forest that was trained with it", "brightness": "its brightness threshold"}


def evaluate_runs(config: Config) -> tuple[Evaluation, Mapping[str, str]]:
    """Scores of runs against the masks of their own tiles; and the MLflow run id of each product.

    Raises: UserError
    """
    runs = load_runs(config)
    tiles = SavedTiles(runs, tuple(shared_keys(runs, config.split)), config.block_m)
    ground = _ground(config, tiles)
    scores = _counted(config, tiles, ground)
    evaluation = Evaluation(
        products=tiles.names,
        rows=tuple(scores.rows()),
        facts=_facts(config, tiles, scores),
        notes=tuple(_notes(config, tiles, scores)),
        reliability={name: reliability(sums.sum(axis=0)) for name, sums in scores.probabilities.items()},
    )
    return evaluation, {run.name: run.model.run_id for run in runs if run.model.run_id}


def _ground(config: Config, tiles: SavedTiles) -> Ground:
    """The ground to score. All val tiles were seen, and so is the ground of test tiles if whole dates are held out:
    then all ground is scored, with a note."""
    some_unseen = any(not tiles.is_seen(pair) for pair in tiles.pairs)
    return "unseen" if config.ground == "unseen" and some_unseen else "all"


def _counted(config: Config, tiles: SavedTiles, ground: Ground) -> ScoreRows:
    counter = Counter(tiles.names, (), tiles.strata, tiles.blocks.count, ground == "unseen")
    probabilities = {name: new_sums(tiles.blocks.count) for name in tiles.with_probabilities}
    for chunk in tqdm(tiles.chunks(), "evaluate", len(tiles.keys), unit="tile", disable=None, leave=False):
        counted = counter.add(chunk)
        snow, block = counted.take(chunk.snow) == 1, counted.take(chunk.block)
        for name, sums in probabilities.items():
            add_probabilities(sums, counted.take(chunk.probability[name]), snow, block)
    return ScoreRows(counter, probabilities, tiles.blocks.places, ground, config.draws, config.seed)


def _facts(config: Config, tiles: SavedTiles, scores: ScoreRows) -> dict[str, str]:
    collects = sorted({pair.collect for pair in tiles.pairs})
    counter = scores.counter
    facts = {
        "Reference": f"masks of {_some(collects)}",
        "Tiles": f"{len(tiles.keys):,} {config.split} tiles of {tiles.runs[0].model.tile_size} pixels, "
        f"of {len(tiles.scenes)} scenes",
        **{run.name: _of_run(run) for run in tiles.runs},
        "Scored on": f"{counter.scored_px:,} pixels observed in image and mask",
        "Ground": GROUND[scores.ground],
    }
    return facts | (
        {"Intervals": intervals(config, counter.filled_blocks)} if counter.filled_blocks >= MIN_BLOCKS else {}
    )


def _of_run(run: SavedRun) -> str:
    network = BASELINES.get(run.kind) or type(run.model.mapper.network).__name__
    commit = f", commit {run.model.commit[:10]}" if run.model.commit else ""
    return f"{run.address}: {network}, snow from {run.model.threshold:g} on{commit}"


def _notes(config: Config, tiles: SavedTiles, scores: ScoreRows) -> Iterator[str]:
    """Notes, each a sentence."""
    if config.split == "val":
        yield (
            "These are val tiles, whose scores chose the epoch of each run: scores on new ground are lower. "
            "split=test scores tiles that had no part in training."
        )
    elif seen := sum(tiles.is_seen(pair) for pair in tiles.pairs):
        left_out = scores.ground == "unseen"
        what = "are left out (ground=all includes them)" if left_out else "are counted nevertheless"
        yield f"{seen} of {len(tiles.pairs)} tiles lie on ground that was trained on at another date; they {what}."
    scored = len(tiles.keys)
    for run in tiles.runs:
        if len(run.pairs) > scored:
            yield f"{run.name} has {len(run.pairs):,} {config.split} tiles; the {scored:,} of every run are scored."
    if (few := too_few_blocks(scores.counter.filled_blocks, config.block_m)) is not None:
        yield few


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
