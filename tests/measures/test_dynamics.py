"""Planted jumps are found where they are, smooth curves have none, and only drops at jumps coincide."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.measures.dynamics import coincidence, find_drops, find_jumps, jump_heights


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("window", "gap"), [(2, 0), (4, 0), (4, 2), (5, 3)])
def test_heights_are_those_of_fitted_lines_or_of_means(window, gap):
    y = noise(30, 3)
    found = jump_heights(y, window, gap)
    side = window + gap
    for t in range(30):
        for k in range(3):
            expected = 0.0
            if side <= t <= 30 - side:
                before, after = np.arange(t - side, t - gap), np.arange(t + gap, t + side)
                ends = [np.polyval(np.polyfit(at, y[at, k].numpy(), 1), t - 0.5) for at in (before, after)]
                both = ends[1] - ends[0], float(y[after, k].mean() - y[before, k].mean())
                expected = min(both, key=abs) if both[0] * both[1] > 0 else 0.0
            assert float(found[t, k]) == pytest.approx(expected, abs=1e-9)


def test_a_height_is_that_of_the_step_on_a_slope_or_not():
    t = torch.arange(60, dtype=torch.float64)
    step = 0.3 * (t >= 25)
    for values in (step, step + 0.02 * t):
        assert float(jump_heights(values)[25]) == pytest.approx(0.3)
        torch.testing.assert_close(jump_heights(5 * values - 7), 5 * jump_heights(values))
    torch.testing.assert_close(jump_heights(step.flip(0))[35], -jump_heights(step)[25])
    assert float(jump_heights(0.02 * t - 3e-3 * (t - 20) ** 2).abs().max()) < 1e-12


@pytest.mark.parametrize("gap", [0, 2])
def test_a_step_is_one_jump_and_where_it_is(gap):
    y = 0.001 * noise(80)
    y[40:] += 1
    [at] = find_jumps(y, 0.1, gap=gap).nonzero().flatten().tolist()
    assert abs(at - 40) <= gap


def test_planted_jumps_are_found_in_noise_each_once():
    y = 0.01 * noise(100, 3) + 0.003 * torch.arange(100)[:, None]
    y[30:, 0] += 0.2
    y[70:, 0] -= 0.15
    y[50:, 2] += 0.5
    assert find_jumps(y, 0.1).nonzero().tolist() == [[30, 0], [50, 2], [70, 0]]


def test_a_change_that_takes_its_time_needs_a_gap():
    t = torch.arange(80, dtype=torch.float64)
    ramp = 0.12 * ((t - 38) / 4).clamp(0, 1)  # over four records, between 38 and 42
    assert not find_jumps(ramp, 0.1).any()
    [at] = find_jumps(ramp, 0.1, gap=2).nonzero().flatten().tolist()
    assert at in (40, 41)


@pytest.mark.parametrize("width", [10, 20])
def test_smooth_curves_do_not_jump(width):
    t = torch.arange(200, dtype=torch.float64)
    sigmoid = torch.sigmoid((t - 100) / width)
    curves = [sigmoid, torch.sin(t / width), 1 - torch.exp(-t / width), 0.05 * t]
    assert not find_jumps(torch.stack(curves, 1), 0.1).any()
    assert not find_jumps(torch.stack(curves, 1), 0.1, gap=2).any()


def test_drops_are_found_relative_to_the_noise_of_the_loss_whatever_its_scale():
    smooth = torch.exp(-torch.arange(120) / 60)
    loss = smooth * (1 + 0.002 * noise(120))
    assert not find_drops(loss).any()
    loss[60:] *= 0.95
    for scale in (1.0, 1e-6):
        assert find_drops(scale * loss).nonzero().flatten().tolist() == [60]
    rise = smooth * (1 + 0.002 * noise(120))
    rise[60:] *= 1.03
    assert not find_drops(rise).any()


def test_coincidence_by_hand():
    logs = torch.tensor([5.0, 5, 5, 3, 3, 2, 2, 2], dtype=torch.float64)
    jumps = torch.zeros(8, 2, dtype=torch.bool)
    jumps[3, 0] = jumps[3, 1] = jumps[5, 0] = True
    found = coincidence(jumps, logs.exp(), reach=0)
    assert found.enrichment == pytest.approx((2 * 2 + 1) / 3 / (3 / 7))
    assert len(found.shifted) == 6
    assert found.p_value == pytest.approx(1 / 7)


def test_jumps_where_the_loss_drops_are_told_from_jumps_elsewhere():
    at = torch.tensor([12, 31, 47, 80])
    jumps, elsewhere = (torch.zeros(100, dtype=torch.bool) for _ in range(2))
    jumps[at], elsewhere[at + 9] = True, True
    loss = torch.exp(-0.1 * jumps.cumsum(0) - 1e-3 * torch.arange(100) + 1e-3 * noise(100))
    found = coincidence(jumps, loss)
    assert found.enrichment > 5
    assert found.p_value == pytest.approx(1 / 93)
    assert coincidence(elsewhere, loss).enrichment < 0.5
    assert coincidence(torch.ones(100, dtype=torch.bool), loss).enrichment == pytest.approx(1)
    assert coincidence(torch.ones(100, dtype=torch.bool), loss).p_value > 0.1
    torch.testing.assert_close(coincidence(jumps, 1e5 * loss).enrichment, found.enrichment)


FALLING = torch.linspace(2, 1, 20)
NONE, SOME = torch.zeros(20, dtype=torch.bool), torch.arange(20) == 9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jump_heights(FALLING, 1), "window is 1 and gap 0"),
        (lambda: jump_heights(FALLING, 4, -1), "gap -1"),
        (lambda: jump_heights(FALLING, 8, 3), "there are 20 records; a jump needs 22"),
        (lambda: find_jumps(FALLING, 0.0), "height is 0"),
        (lambda: find_drops(FALLING - 1.5), "not positive and finite"),
        (lambda: find_drops(FALLING, 0.0), "deviations is 0"),
        (lambda: coincidence(NONE, FALLING), "there is no jump"),
        (lambda: coincidence(SOME, FALLING.flip(0)), "the loss does not fall"),
        (lambda: coincidence(SOME, FALLING, 3), "20 of the loss, and reach is 3"),
        (lambda: coincidence(SOME, FALLING, -1), "reach is -1"),
        (lambda: coincidence(SOME, FALLING.where(FALLING < 1.9, torch.inf)), "not positive and finite"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
