import itertools

import pytest
import torch

from hpo.training.random import (
    DropoutMasks,
    PackedMasks,
    Stream,
    apply_dropout,
    key,
    permutation,
    permutations,
    uniform,
)
from tests.support.training import DEVICES

CPU = torch.device("cpu")


def masks(
    seed: int = 0,
    rate: float = 0.5,
    n_layers: int = 1,
    n_units: int = 256,
    dtype: torch.dtype = torch.float32,
) -> DropoutMasks:
    return DropoutMasks(seed, rate, n_layers, n_units, dtype)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masks_drop_the_share_that_was_asked_for(rate):
    drawn = torch.stack([masks(rate=rate).draw(step, 1000, CPU) for step in range(8)])
    n = drawn.numel()
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert abs(drawn.mean().item() - (1 - rate)) < 5 * (rate * (1 - rate) / n) ** 0.5
    for axis in (2, 3):  # no row, and no unit, is dropped more than others
        others = tuple(d for d in range(4) if d != axis)
        per_place = drawn.mean(dim=others)
        deviation = (rate * (1 - rate) / (n / per_place.numel())) ** 0.5
        assert (per_place - (1 - rate)).abs().max() < 5 * deviation


def test_the_scale_keeps_the_expected_sum():
    drawn = masks(rate=0.3)
    kept = 1 - round(0.3 * 2**16) / 2**16
    assert drawn.scale == pytest.approx(1 / kept)


def test_a_tiny_rate_drops_next_to_nothing_and_the_largest_keeps_something():
    assert masks(rate=1e-9).draw(0, 500, CPU).min() == 1
    assert 0 < masks(rate=1 - 1e-9).draw(0, 4000, CPU).mean() < 1e-3
    assert masks(rate=1 - 1e-9).scale == 2**16


def test_masks_of_neighbours_are_independent():
    """Neighbouring units (halves of one hash), rows, layers, steps and seeds do not correlate."""
    drawn = torch.stack([masks(n_layers=3).draw(step, 400, CPU) for step in range(4)])
    other_seed = torch.stack([masks(seed=1, n_layers=3).draw(step, 400, CPU) for step in range(4)])
    pairs = {
        "unit": (drawn[..., :-1], drawn[..., 1:]),
        "pair": (drawn[..., :-2], drawn[..., 2:]),
        "row": (drawn[:, :, :-1], drawn[:, :, 1:]),
        "layer": (drawn[:, :-1], drawn[:, 1:]),
        "step": (drawn[:-1], drawn[1:]),
        "seed": (drawn, other_seed),
    }
    for name, (a, b) in pairs.items():
        a, b = a - 0.5, b - 0.5
        correlation = (a * b).mean() * 4
        assert abs(correlation) < 5 / a.numel() ** 0.5, name


def test_masks_have_no_rectangles():
    """Rows and units are hashed apart and joined: the joint must not be a sum of the two."""
    drawn = masks().draw(0, 256, CPU)[0] - 0.5
    rectangles = drawn[::2, ::2] * drawn[1::2, ::2] * drawn[::2, 1::2] * drawn[1::2, 1::2]
    assert abs(rectangles.mean() * 16) < 5 / rectangles.numel() ** 0.5


@pytest.mark.parametrize("n_units", [255, 256])
def test_masks_do_not_depend_on_padding(n_units):
    small = masks(n_layers=2, n_units=n_units).draw(5, 100, CPU)
    large = masks(n_layers=4, n_units=512).draw(5, 130, CPU)
    assert torch.equal(small, large[:2, :100, :n_units])


def test_masks_are_the_same_in_every_type_and_after_a_smaller_batch():
    drawn = masks(dtype=torch.bfloat16)
    full = drawn.draw(3, 64, CPU)
    assert full.dtype == torch.bfloat16
    assert torch.equal(full.float(), masks().draw(3, 64, CPU))
    assert torch.equal(drawn.draw(4, 10, CPU), masks(dtype=torch.bfloat16).draw(4, 10, CPU))
    assert torch.equal(drawn.draw(3, 64, CPU), full)


@pytest.mark.parametrize("device", DEVICES)
def test_numbers_are_these_and_no_others(device):
    """Recorded bits: a change here makes trials unrepeatable."""
    drawn = masks(seed=3, rate=0.25, n_units=8).draw(7, 2, device)
    assert drawn[0].int().tolist() == [[1, 1, 1, 0, 1, 0, 1, 1], [1] * 8]
    assert permutation(3, 2, 8, device).tolist() == [1, 6, 0, 7, 2, 5, 4, 3]
    assert key(Stream.DROPOUT, 1, 2, 3) == -1058431039


@pytest.mark.parametrize("device", DEVICES)
def test_masks_of_a_pack_are_those_of_each_run(device):
    seeds, rates, steps, n_layers = (
        [3, 3, 2**31 - 1, 9],
        [0.25, 0.0, 0.5, 0.999],
        [7, 7, 0, 10**6],
        3,
    )
    packed = PackedMasks.of(seeds, rates, 37, torch.float64, device)
    keys = packed.keys(torch.tensor(steps, device=device), n_layers, 50)
    x = torch.rand(4, 50, 37, dtype=torch.float64, device=device) + 1
    for layer in range(n_layers):
        n = 4 - layer  # deeper layers belong to the first runs alone
        found = apply_dropout(x[:n], keys[layer, :n], packed)
        for slot in range(n):
            run = masks(seeds[slot], rates[slot], n_layers, 37, torch.float64)
            expected = x[slot] * run.draw(steps[slot], 50, device)[layer] * run.scale
            torch.testing.assert_close(found[slot], expected, rtol=1e-15, atol=0.0)


@pytest.mark.parametrize("device", DEVICES)
def test_orders_of_several_epochs_are_those_of_each(device):
    epochs = [(0, 0), (5, 3), (2**31 - 1, 7)]
    for found, epoch in zip(permutations(epochs, 101, device), epochs, strict=True):
        assert torch.equal(found, permutation(*epoch, 101, device))


@pytest.mark.parametrize("n_rows", [1, 2, 1000])
def test_an_order_visits_every_row_once(n_rows):
    order = permutation(0, 0, n_rows, CPU)
    assert torch.equal(order.sort().values, torch.arange(n_rows))


def test_orders_differ_by_seed_and_epoch():
    orders = [permutation(seed, epoch, 500, CPU) for seed in range(3) for epoch in range(3)]
    for a, b in itertools.combinations(orders, 2):
        assert (a == b).float().mean() < 0.02


def test_orders_are_shuffled_well():
    """Every row comes at every place: mean places are uniform, and neighbours do not stay so."""
    places = torch.stack([permutation(0, epoch, 200, CPU).argsort() for epoch in range(400)])
    deviation = 200 / 12**0.5 / 400**0.5
    assert (places.double().mean(dim=0) - 99.5).abs().max() < 5 * deviation
    assert ((places[:, 1:] - places[:, :-1]).abs() == 1).double().mean() < 0.02


def test_uniform_numbers_fill_their_range():
    drawn = uniform(0, 1, (100, 1000), bound=0.2).double() / 0.2
    assert drawn.abs().max() < 1
    assert abs(drawn.mean()) < 5 / (3 * 1e5) ** 0.5
    assert drawn.var().item() == pytest.approx(1 / 3, rel=0.02)
    assert torch.histc(drawn.float(), 10).div(1e4).sub(1).abs().max() < 0.06
    correlation = (drawn.flatten()[1:] * drawn.flatten()[:-1]).mean() * 3
    assert abs(correlation) < 5 / 1e5**0.5


def test_uniform_numbers_differ_by_seed_and_layer():
    drawn = [uniform(seed, layer, (64,), 1.0) for seed in range(3) for layer in range(3)]
    assert len({tuple(numbers.tolist()) for numbers in drawn}) == 9
    assert torch.equal(uniform(1, 2, (8, 8), 1.0).flatten(), drawn[5])
