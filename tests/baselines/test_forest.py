"""The pixel forest: what it learns, its likeness to scikit-learn's, and arrays that are none."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from snowcover.baselines import forest as forests
from snowcover.baselines.forest import BadForest, Forest, checked_forest, fit_forest, forest_of
from snowcover.baselines.networks import ForestNetwork, ThresholdNetwork, pixel_mapper
from snowcover.baselines.sample import Pixels

SNOW, ROCK = (1.05, 1.03, 1.05, 0.87), (0.22, 0.25, 0.27, 0.34)


def pixels(count: int = 400, noise: float = 0.05, seed: int = 0) -> Pixels:
    """Half snow, half rock."""
    rng = np.random.default_rng(seed)
    snow = np.arange(count) % 2 == 0
    spectra = np.where(snow[:, None], SNOW, ROCK) + rng.normal(0, noise, (count, 4))
    return Pixels(spectra.astype(np.float32), snow)


def probability(forest: Forest, reflectance: np.ndarray) -> np.ndarray:
    """[P] of pixels [P, C], by the network in whose place the forest stands."""
    with torch.inference_mode():
        return ForestNetwork(forest)(torch.from_numpy(reflectance.T[None, :, None]))[0, 0, 0].sigmoid().numpy()


def test_two_separable_spectra_are_separated() -> None:
    forest = fit_forest(pixels(), seed=0, threads=1)
    new = pixels(seed=1)
    assert np.array_equal(probability(forest, new.reflectance) > 0.5, new.snow)


def test_the_same_seed_gives_the_same_forest_with_any_number_of_threads() -> None:
    given = pixels(noise=0.5)
    one, two, other = (fit_forest(given, seed, threads).arrays() for seed, threads in ((3, 1), (3, 4), (4, 1)))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["threshold"], other["threshold"])


def test_it_answers_as_scikit_learns_own_does() -> None:
    given, new = pixels(2000, noise=0.6), pixels(3000, noise=0.6, seed=1)
    # Numbers that occur in training, too: they lie on either side of a threshold as there.
    seen = np.concatenate([new.reflectance, given.reflectance]).round(1).astype(np.float32)
    given = Pixels(given.reflectance.round(1).astype(np.float32), given.snow)
    fitted = RandomForestClassifier(9, max_depth=forests.DEEPEST, random_state=0).fit(given.reflectance, given.snow)
    theirs = fitted.predict_proba(seen)[:, 1]
    ours = probability(forest_of(fitted), seen)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    clear = abs(theirs - 0.5) > 1e-5
    assert np.array_equal(ours[clear] > 0.5, fitted.predict(seen)[clear])
    assert clear.mean() > 0.98


@pytest.mark.parametrize("snow", [True, False])
def test_pixels_of_one_class_make_a_forest_that_says_so(snow: bool) -> None:
    given = Pixels(pixels().reflectance, np.full(400, snow))
    assert ((probability(fit_forest(given, 0, 1), given.reflectance) > 0.5) == snow).all()


def test_a_threshold_maps_what_is_as_bright_as_it_or_brighter() -> None:
    mapper = pixel_mapper(ThresholdNetwork(0.5), 0.25, 0.0, 2)
    raw = torch.tensor([[1, 3], [1, 2], [9, 9], [0, 0]]).T.reshape(1, 2, 1, 4)
    found = mapper(raw)[0, 0]
    assert (found[:3] > 0.5).tolist() == [True, False, True]
    assert found[3].isnan()


def broken(**changed: np.ndarray) -> dict[str, np.ndarray]:
    return fit_forest(pixels(), 0, 1).arrays() | changed


def circle() -> dict[str, np.ndarray]:
    arrays = broken()
    arrays["next_node"] = np.zeros_like(arrays["next_node"])
    arrays["next_node"][0] = 1
    return arrays


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (lambda: {}, "it lacks roots, next_node, band, threshold, probability"),
        (lambda: broken(roots=np.array([10**6], np.int32)), "its roots name what there is not"),
        (lambda: broken(band=broken()["band"] + np.int32(4)), "its band name what there is not"),
        (lambda: broken(next_node=-broken()["next_node"]), "its next_node name what there is not"),
        (lambda: broken(threshold=np.zeros(1, np.float32)), "next_node, band, probability are of another shape"),
        (lambda: broken(probability=broken()["band"]), "its probability are of another shape or kind of number"),
        (lambda: broken(roots=np.zeros(0, np.int32)), "its roots are of another shape"),
        (circle, "a tree of it is deeper than 16 nodes"),
    ],
)
def test_arrays_that_are_no_forest_are_refused(arrays, message: str) -> None:
    with pytest.raises(BadForest, match=message):
        checked_forest(arrays(), bands=4)
