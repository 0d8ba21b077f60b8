"""Advice on campaigns whose law is known: falling, flat, too noisy to tell, one iteration only."""

import numpy as np
import pytest

from entropy_flows.evaluate import advise
from entropy_flows.evaluate.advice import _power_law, _trend

STEPS = (80, 160, 240, 320)


def campaign(law, n=40, gains=lambda number: [0.012 / number] * 20, steps=STEPS, failed=0):
    """Iterations whose error on n held-out cells is law(N) times a constant, for N trained on."""
    iterations = []
    for number, cells in enumerate(steps, start=1):
        after, before = (
            _errors(law(N), n) for N in (cells, steps[number - 2] if number > 1 else 40)
        )
        iterations.append(
            {
                "iteration": number,
                "select": {"gains": gains(number), "accepted": 20},
                "label": {"labelled": 80, "failed": failed},
                "train": {"cells": cells},
                "evaluate": {"before": before, "after": after, "validation": after},
            }
        )
    return iterations


def _errors(scale, n):
    """Those of normally distributed errors: RMSE = √(π/2) MAE."""
    found = {"n": n, "energy_mae": 6e-3 * scale, "forces_mae": 0.1 * scale}
    return found | {
        name.replace("mae", "rmse"): np.sqrt(np.pi / 2) * found[name] for name in tuple(found)[1:]
    }


def flat(_):
    return 1.0


def test_an_error_that_falls_goes_on():
    advice = advise(campaign(lambda N: N**-0.8))

    assert advice.verdict == "go on"
    assert "still falls" in advice.text
    assert "N^−(0.80 ±" in advice.text


def test_a_flat_error_is_told_with_its_numbers():
    advice = advise(campaign(flat, failed=2))

    assert advice.verdict == "flat"
    for part in (
        "328 (8 failed) labels",
        "40 held-out",
        "0.012 → 0.006 → 0.004 → 0.003",
        "6 → 6 meV/atom (+0 %",
        "±12 %",
    ):
        assert part in advice.text
    assert "raise θ_min, or stop" in advice.text


def test_few_held_out_cells_are_no_evidence():
    advice = advise(campaign(flat, n=4))

    assert advice.verdict == "unclear"
    assert "4 held-out cells are too few" in advice.text


def test_a_noisy_fall_within_the_noise_is_not_called_one():
    noisy = dict(zip(STEPS, (1.0, 1.05, 0.97, 0.93), strict=True))
    advice = advise(campaign(lambda N: noisy.get(N, 1.0)))

    assert advice.verdict == "flat"


def test_a_law_that_promises_more_than_the_noise_outweighs_one_quiet_iteration():
    errors = dict(zip(STEPS, (1.0, 0.5, 0.3, 0.29), strict=True))
    advice = advise(campaign(lambda N: errors.get(N, 1.0), n=100))

    assert advice.verdict == "go on"
    assert "the law still promises" in advice.text


def test_a_rising_gain_says_new_ground():
    advice = advise(campaign(flat, gains=lambda number: [0.01 * number] * 20))

    assert advice.verdict == "go on"
    assert "gain rises" in advice.text


def test_a_single_gain_is_no_trend_and_noise_comes_before_law_and_gain():
    single = campaign(flat, gains=lambda number: [0.01 * number])
    assert advise(single).verdict == "flat"
    errors = dict(zip(STEPS, (1.0, 0.5, 0.3, 0.29), strict=True))
    assert (
        advise(campaign(lambda N: errors.get(N, 1.0), n=6, gains=lambda n: [0.01 * n] * 20)).verdict
        == "unclear"
    )


def test_one_iteration_shows_no_trend_and_none_is_silent():
    assert advise(campaign(flat, steps=(80,))).verdict == "early"
    assert advise([]) is None
    assert (
        advise([{"iteration": 1, "evaluate": {"after": {"n": 0}}, "train": {"cells": 3}}]) is None
    )


def test_without_gains_the_errors_decide():
    assert advise(campaign(flat, gains=lambda _: [])).verdict == "flat"


def test_the_noise_is_that_of_a_mean_of_n_absolute_values():
    n, rng = 25, np.random.default_rng(0)
    samples = np.abs(rng.normal(0.0, 1.0, (20000, n))).mean(axis=1)
    noise = _trend(campaign(flat, n=n), "energy_mae").noise

    assert noise == pytest.approx(samples.std() / samples.mean(), rel=0.03)


def test_the_law_is_found_where_the_held_out_cells_change_from_one_iteration_to_the_next():
    iterations = campaign(lambda N: N**-0.5)
    for factor, doc in zip((1.0, 3.0, 0.4, 2.0), iterations, strict=True):
        for when in ("before", "after"):
            errors = doc["evaluate"][when]
            doc["evaluate"][when] = {
                "n": errors["n"],
                **{k: factor * v for k, v in errors.items() if k != "n"},
            }

    assert _trend(iterations, "energy_mae").exponent[0] == pytest.approx(0.5)


def test_the_exponents_error_covers_the_truth():
    cells, rng, noise = np.array(STEPS, float), np.random.default_rng(1), 0.1
    found = [
        _power_law(cells, cells**-0.5 * np.exp(noise * rng.normal(size=4)), np.full(4, noise))
        for _ in range(2000)
    ]
    off = [(beta - 0.5) / error for beta, error in found]

    assert np.std(off) == pytest.approx(1.0, abs=0.05)
