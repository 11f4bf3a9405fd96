"""Scenes mapped: where pixels lie, which are observed, and that windows leave no trace."""

import threading

import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage
from torch import nn

from snowcover.data.tiles import Tile
from snowcover.errors import UserError
from snowcover.predict import group, plan
from snowcover.predict.mapping import OutputGrid, count_windows, map_scene
from snowcover.prepare.reprojection import Grid
from snowcover.prepare.warp import warp
from tests.predict.scenes import (
    TILE,
    UTM_11N,
    ZOOM,
    HeldScene,
    blurring,
    landscape,
    mapped,
    model,
    own_grid,
    training_grid,
)  # fmt: skip


def said_of(values: np.ndarray) -> np.ndarray:
    """What the network `brightness` says of stored numbers."""
    return 1 / (1 + np.exp(4 - values * 8e-4))


SCENES = [
    UTM_11N,
    Grid(CRS.from_epsg(32719), Affine(15, 0, 400000, 0, -15, 6300000), 130, 90),
    Grid(CRS.from_epsg(4326), Affine(1.5e-4, 0, 86.8, 0, -1.5e-4, 28.1), 200, 150),
    Grid(CRS.from_epsg(32611), Affine(15, 0, 280000, 0, -15, 4190000) * Affine.rotation(30), 120, 100),
    Grid(CRS.from_epsg(32611), Affine(15, 0, 280000, 0, 15, 4190000), 100, 80),  # its first row is the southernmost
    Grid(CRS.from_epsg(32660), Affine(15, 0, 833000, 0, -15, 7000000), 220, 90),  # across the 180th meridian
    Grid(CRS.from_epsg(32611), Affine(60, 0, 280000, 0, -60, 4190000), 70, 50),  # coarser than the network's grid
    Grid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 300, 200),  # much finer
    Grid(CRS.from_epsg(32611), Affine(15, 0, 280000, 0, -15, 4190000), 3, 2),  # smaller than a window
]


@pytest.mark.parametrize("grid", SCENES)
def test_each_pixel_is_mapped_in_its_place_and_exactly_where_it_is_observed(grid: Grid) -> None:
    rows, columns = np.mgrid[: grid.height, : grid.width]
    scale = 4 if grid.transform.a == 3 else 1  # waves that both grids can show
    values = (5000 + 1500 * np.sin(columns / 9 / scale) + 1500 * np.cos(rows / 11 / scale))[..., None].astype(np.uint16)
    valid = (rows + columns > grid.height / 3) & (columns % 50 != 0)
    found, spread = mapped(HeldScene(grid, values, valid), OutputGrid(*grid), model())
    assert np.array_equal(np.isfinite(found), valid)
    assert spread is None
    inner = ndimage.binary_erosion(valid, iterations=4)
    assert np.abs(found - said_of(values[..., 0]))[inner].max(initial=0) < 0.05


def shift_between(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Rows and columns by which two pictures differ, by the slope of their cross spectrum's phase."""
    window = np.outer(np.hanning(one.shape[0]), np.hanning(one.shape[1]))
    first, second = (np.fft.fft2((picture - picture.mean()) * window) for picture in (one, other))
    cross = first * second.conj()
    frequencies = [np.fft.fftfreq(length) for length in one.shape]
    low = (np.abs(frequencies[0])[:, None] < 0.12) & (np.abs(frequencies[1])[None] < 0.12)
    across = np.stack([np.broadcast_to(f, low.shape)[low] for f in (frequencies[0][:, None], frequencies[1][None])], 1)
    weight = np.abs(cross[low])
    slope, *_ = np.linalg.lstsq(across * weight[:, None], np.angle(cross[low]) * weight, rcond=None)
    return tuple(slope / (2 * np.pi))


@pytest.mark.parametrize("grid", SCENES[:2])
def test_a_map_lies_on_its_scene_to_a_tenth_of_a_pixel(grid: Grid) -> None:
    noise = np.random.default_rng(0).normal(size=(grid.height, grid.width))
    painted = ndimage.gaussian_filter(noise, 3) * 20000 + 5000
    values = painted.clip(1000, 9000).astype(np.uint16)[..., None]
    found, _ = mapped(HeldScene(grid, values), OutputGrid(*grid), model())
    assert np.abs(shift_between(found, said_of(values[..., 0]))).max() < 0.1


LAYOUTS = [
    plan.layout_with_margin(TILE), plan.layout_with_margin(TILE, shift_px=(32, 32)),
    plan.layout_with_margin(2 * TILE, 16),
    plan.layout_with_margin(3 * TILE, 24, (-17, 40)), plan.layout_of_tile_size(TILE),
    plan.layout_of_tile_size(TILE, (16, 16)),
]  # fmt: skip


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch):
    """Lets every plan be of one layout."""

    def use(layout: plan.Layout) -> None:
        made = plan.plan
        monkeypatch.setattr(group.plan, "plan", lambda *args: made(*args[:3], layout))

    return use


@pytest.mark.slow
def test_windows_leave_no_trace_whatever_their_size_and_place(laid_out) -> None:
    valid = np.ones((UTM_11N.height, UTM_11N.width), bool)
    valid[40:90, 100:180] = False
    scene = HeldScene(UTM_11N, landscape(UTM_11N, 2), valid)
    original = plan.plan
    maps = []
    for layout in LAYOUTS:
        group.plan.plan = original
        laid_out(layout)
        maps.append(mapped(scene, own_grid(scene), model(blurring(bands=2), 2))[0])
    for other in maps[1:]:
        assert np.nanmax(np.abs(other - maps[0])) < 1e-5


def test_in_the_training_grid_a_map_is_the_networks_prediction_for_the_tiles() -> None:
    scene = HeldScene(UTM_11N, landscape(UTM_11N, 2))
    trained = model(blurring(bands=2), 2)
    output = training_grid(scene)
    found, _ = mapped(scene, output, trained)
    first = np.floor(
        (np.array([output.transform.c, -output.transform.f]) + 20037508.342789244) / output.transform.a + 0.5
    )
    column, row = (first // TILE + 2).astype(int)
    with scene.open(trained.bands) as source:
        values, seen = warp(source, Tile(ZOOM, int(column), int(row)), TILE)
    assert seen.all()
    with torch.no_grad():
        predicted = trained.mapper(torch.from_numpy(np.moveaxis(values, 2, 0).astype(np.float32))[None])[0].numpy()
    left, top = int(column * TILE - first[0]), int(row * TILE - first[1])
    there = found[top : top + TILE, left : left + TILE]
    assert np.abs(there - predicted)[6:-6, 6:-6].max() < 1e-5


def test_a_coarser_map_holds_the_means_of_the_finer_one() -> None:
    grid = Grid(CRS.from_epsg(3857), training_grid(HeldScene(UTM_11N, landscape(UTM_11N))).transform, 256, 192)
    valid = np.ones((192, 256), bool)
    valid[:32, :48] = False
    scene = HeldScene(grid, landscape(grid), valid)
    fine, _ = mapped(scene, own_grid(scene), model())
    for times in (2, 16):
        coarse = OutputGrid(grid.crs, grid.transform * Affine.scale(times), 256 // times, 192 // times)
        found, _ = mapped(scene, coarse, model())
        blocks = fine.reshape(192 // times, times, 256 // times, times)
        assert np.array_equal(np.isfinite(found), np.isfinite(blocks).all(axis=(1, 3)))
        # bilinear samples of a pixel's edge take from its neighbour
        inner = np.isfinite(found)
        inner &= ndimage.binary_erosion(inner, border_value=1)
        assert np.abs(found - blocks.mean(axis=(1, 3)))[inner].max() < 0.03


def test_isolated_pixels_get_a_probability_too() -> None:
    """Of a network whose pixels are far coarser than the scene's."""
    grid = Grid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 400, 300)
    values = np.full((300, 400, 1), 8000, np.uint16)
    valid = np.zeros((300, 400), bool)
    valid[[7, 150, 151, 299], [3, 200, 390, 399]] = True
    found, _ = mapped(HeldScene(grid, values, valid), OutputGrid(*grid), model(zoom=11))
    assert np.array_equal(np.isfinite(found), valid)
    assert np.allclose(found[valid], said_of(np.array(8000)), atol=1e-5)


def test_an_unobserved_scene_gives_an_unobserved_map_without_running_the_network() -> None:
    def never(*_: object) -> None:
        raise AssertionError("the network was asked")

    trained = model()
    list(map_scene(HeldScene(SCENES[-1], landscape(SCENES[-1])), OutputGrid(*SCENES[-1]), [trained], device="cpu"))
    scene = HeldScene(UTM_11N, landscape(UTM_11N), np.zeros((UTM_11N.height, UTM_11N.width)))
    hook = trained.mapper.network.register_forward_hook(never)
    found, _ = mapped(scene, own_grid(scene), trained)
    hook.remove()
    assert not np.isfinite(found).any()


def test_the_windows_reported_are_those_counted() -> None:
    scene = HeldScene(UTM_11N, landscape(UTM_11N), np.tri(UTM_11N.height, UTM_11N.width))
    two = [model(), model(blurring())]
    reported: list[int] = []
    mapped(scene, own_grid(scene), *two, on_window=reported.append)
    counted = count_windows(scene, own_grid(scene), two, "d4")
    assert (sum(reported), counted.members) == (counted.windows, 16)


@pytest.mark.slow
def test_members_are_averaged_and_their_spread_is_given() -> None:
    scene = HeldScene(UTM_11N, landscape(UTM_11N, 2))
    output = training_grid(scene)
    three = [model(blurring(seed, 2), 2) for seed in range(3)]
    single = np.stack([mapped(scene, output, one)[0] for one in three])
    mean, spread = mapped(scene, output, *three)
    assert np.nanmax(np.abs(mean - single.mean(axis=0))) < 1e-5
    assert np.nanmax(np.abs(spread - single.std(axis=0))) < 1e-4
    assert np.array_equal(np.isfinite(spread), np.isfinite(mean))


@pytest.mark.slow
def test_models_of_other_grids_and_bands_are_averaged_too() -> None:
    scene = HeldScene(UTM_11N, landscape(UTM_11N, 2))
    others = [model(), model(blurring(1, 2), 2, zoom=14), model(blurring(2, 2), 2)]
    single = np.stack([mapped(scene, own_grid(scene), one)[0] for one in others])
    mean, spread = mapped(scene, own_grid(scene), *others)
    assert np.abs(mean - single.mean(axis=0)).max() < 1e-5
    assert np.abs(spread - single.std(axis=0)).max() < 1e-4


class Slanting(nn.Module):
    """Looks at a pixel and the one left of it, so that turns and flips of a tile make a difference."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 8 * x[:, :1] - 4 + 20 * (x[:, :1] - nn.functional.pad(x[:, :1], (1, 0))[..., :-1])


@pytest.mark.slow
def test_d4_is_the_mean_over_the_eight_turned_and_flipped_scenes() -> None:
    grid = Grid(CRS.from_epsg(3857), Affine(40, 0, -13000000, 0, -40, 4500000), 160, 160)
    values = landscape(grid)
    plain = mapped(HeldScene(grid, values), OutputGrid(*grid), model(Slanting()))[0]
    mean, spread = mapped(HeldScene(grid, values), OutputGrid(*grid), model(Slanting()), tta="d4")
    # of the slope, what is left is seen from all sides
    assert (
        np.abs(mean - said_of(values[..., 0]))[4:-4, 4:-4].mean()
        < np.abs(plain - said_of(values[..., 0]))[4:-4, 4:-4].mean() / 3
    )
    assert spread.shape == mean.shape and spread.max() > 0.01
    even, none = mapped(HeldScene(grid, values), OutputGrid(*grid), model(), tta="d4")
    assert np.abs(even - mapped(HeldScene(grid, values), OutputGrid(*grid), model())[0]).max() < 1e-6
    assert np.nanmax(none) < 1e-6


def test_a_scene_of_other_numbers_is_converted_to_the_models() -> None:
    scene = HeldScene(UTM_11N, landscape(UTM_11N))
    plain = mapped(scene, own_grid(scene), model())[0]
    other = HeldScene(UTM_11N, (scene.values / 10000.0).astype(np.float32) * 2 + 1)
    other.factors = np.array([5000.0]), np.array([-5000.0])
    assert np.abs(mapped(other, own_grid(other), model())[0] - plain).max() < 1e-3


class OneSize(nn.Module):
    """As a vision transformer, made for tiles of one size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[-2:] == (TILE, TILE)
        return 8 * x[:, :1] - 4


def test_a_network_of_one_size_gets_windows_of_that_size() -> None:
    scene = HeldScene(UTM_11N, landscape(UTM_11N))
    found = mapped(scene, own_grid(scene), model(OneSize()))[0]
    assert np.abs(found - mapped(scene, own_grid(scene), model())[0]).max() < 1e-5


class Cut(UserError):
    """As of a scene that is cut short."""


def test_an_error_of_the_scene_is_raised_and_no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = HeldScene(UTM_11N, landscape(UTM_11N))
    before = threading.active_count()
    rows = map_scene(scene, own_grid(scene), [model()], device="cpu")
    next(rows)
    rows.close()
    assert threading.active_count() == before

    def broken(*_: object) -> None:
        raise Cut("held is cut short: copy it again.")

    monkeypatch.setattr("tests.predict.scenes.Opened.read", broken)
    with pytest.raises(Cut, match="held is cut short"):
        mapped(scene, own_grid(scene), model())
    assert threading.active_count() == before


def test_folding_batch_norms_changes_nothing_and_leaves_the_model_alone() -> None:
    trained = model(blurring())
    quick = group.Members([trained.mapper], False, plan.layout_with_margin(TILE), torch.device("cpu"))
    raw = np.random.default_rng(0).integers(1, 9000, (2, 1, 64, 64)).astype(np.uint16)
    with torch.no_grad():
        predicted = trained.mapper(torch.from_numpy(raw.astype(np.float32)))
    assert np.abs(quick.probabilities(raw)[:, 0] - predicted.numpy()).max() < 1e-6
    kinds = [type(module) for module in quick._mappers[0].modules()]
    assert nn.BatchNorm2d not in kinds
    assert nn.BatchNorm2d in [type(module) for module in trained.mapper.modules()]


def test_scenes_beyond_the_map_are_unobserved() -> None:
    polar = Grid(CRS.from_epsg(3413), Affine(15, 0, 0, 0, -15, 0), 40, 30)
    found, _ = mapped(HeldScene(polar, landscape(polar)), OutputGrid(*polar), model())
    assert found.shape == (30, 40)
