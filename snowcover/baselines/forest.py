"""A random forest that sees one pixel at a time: fitted in seconds, kept as plain arrays. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from snowcover.baselines.sample import Pixels

Array = np.ndarray[Any, Any]

MOST_PIXELS = 200_000
"""that a forest is fitted on"""
TREES = 31  # odd: halves of the trees do not outvote each other
PIXELS_A_TREE = 40_000  # drawn again for each; on the demo, more and larger trees are no better (ARCHITECTURE.md)
LEAST_LEAF = 10
DEEPEST = 16


class BadForest(ValueError):
    """Arrays that are no forest."""


@dataclass(frozen=True)
class Forest:
    """All trees in one table of nodes. A leaf's children are the leaf itself."""

    roots: Array
    """[T] int32, the first node of each tree"""
    next_node: Array
    """[N, 2] int32: the next node of a pixel whose band is at most the threshold, and of any other"""
    band: Array
    """[N] int32, which band a node looks at; 0 of a leaf"""
    threshold: Array
    """[N] float32, in reflectance; 0 of a leaf"""
    probability: Array
    """[N] float32, share of snow among the training pixels of a node"""

    @property
    def depth(self) -> int:
        """Steps from a root to the farthest leaf.

        Raises:
            BadForest: there is no end to it.
        """
        level, steps = self.roots, 0
        while (self.next_node[level] != level[:, None]).any():
            level, steps = np.unique(self.next_node[level]), steps + 1
            if steps > DEEPEST:
                raise BadForest(f"a tree of it is deeper than {DEEPEST} nodes")
        return steps

    def arrays(self) -> dict[str, Array]:
        """All that there is of it, by field: what a checkpoint and baselines.npz hold."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def fit_forest(pixels: Pixels, seed: int, threads: int) -> Forest:
    """The forest that these pixels make; the same seed gives the same one with any number of threads."""
    from sklearn.ensemble import RandomForestClassifier  # takes a second to load, which most commands can spare

    fitted = RandomForestClassifier(
        TREES, max_samples=min(PIXELS_A_TREE, len(pixels.snow)), max_depth=DEEPEST, min_samples_leaf=LEAST_LEAF,
        random_state=seed, n_jobs=threads,
    ).fit(pixels.reflectance, pixels.snow)  # fmt: skip
    return forest_of(fitted)


def forest_of(fitted: Any) -> Forest:
    """scikit-learn's forest of the classes False and True, or of the one that there is, as arrays."""
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    snow = [index for index, known in enumerate(fitted.classes_) if known]
    whole = [_nodes(tree, int(root), snow) for tree, root in zip(trees, roots, strict=True)]
    return Forest(roots.astype(np.int32), *(np.concatenate(column) for column in zip(*whole, strict=True)))


def _nodes(tree: Any, root: int, snow: list[int]) -> tuple[Array, Array, Array, Array]:
    """children, band, threshold and probability of a tree's nodes."""
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    children = np.stack([np.where(leaf, own, side) for side in (tree.children_left, tree.children_right)], axis=1)
    share = tree.value[:, 0, snow].sum(axis=1) / tree.value[:, 0].sum(axis=1)  # counts, before scikit-learn 1.3
    return (
        (children + root).astype(np.int32),
        np.where(leaf, 0, tree.feature).astype(np.int32),
        _rounded_down(np.where(leaf, 0.0, tree.threshold)),
        share.astype(np.float32),
    )


def _rounded_down(values: Array) -> Array:
    """The largest float32 that is no larger: no float32 lies between, so each is on the side that it was."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)


def checked_forest(arrays: Mapping[str, Array], bands: int) -> Forest:
    """The forest of arrays that were read from a file.

    Raises:
        BadForest: no forest of so many bands.
    """
    names = [field.name for field in fields(Forest)]
    if missing := [name for name in names if name not in arrays]:
        raise BadForest(f"it lacks {', '.join(missing)}")
    forest = Forest(*(np.asarray(arrays[name]) for name in names))
    nodes = len(forest.threshold)
    shapes = {"next_node": (nodes, 2), "band": (nodes,), "threshold": (nodes,), "probability": (nodes,)}
    wrong = [name for name, shape in shapes.items() if getattr(forest, name).shape != shape]
    kinds = {"roots": "i", "next_node": "i", "band": "i", "threshold": "f", "probability": "f"}
    wrong += [name for name, kind in kinds.items() if getattr(forest, name).dtype.kind != kind]
    if wrong or forest.roots.ndim != 1 or not forest.roots.size:
        raise BadForest(f"its {', '.join(wrong) or 'roots'} are of another shape or kind of number")
    for name, below in (("roots", nodes), ("next_node", nodes), ("band", bands)):
        if getattr(forest, name).min() < 0 or getattr(forest, name).max() >= below:
            raise BadForest(f"its {name} name what there is not")
    assert forest.depth <= DEEPEST
    return forest
