"""The card refuses and counts what a GPU would."""

import numpy as np
import pytest
import torch
from pretend_card import NAME, Card


@pytest.fixture
def card():
    with Card() as card:
        yield card


@pytest.fixture
def x(card):
    x = torch.from_numpy(np.arange(6.0)).to(NAME)
    card.clear()
    return x


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: np.sqrt(x),
        lambda x: x + torch.ones(6, dtype=torch.float64),
        lambda x: x[torch.tensor([1, 2])],
        lambda x: torch.ones(6)[x.long()],
        lambda x: torch.zeros(6).index_add_(0, torch.arange(6), x.float()),
    ],
)
def test_it_refuses_to_mix(x, mix):
    with pytest.raises((RuntimeError, TypeError), match=r"on the CPU|to numpy"):
        mix(x)


@pytest.mark.parametrize(
    ("does", "waits", "copies"),
    [
        (lambda x: x + 1, 0, 0),
        (lambda x: x[2:4].view(1, 2), 0, 0),
        (lambda x: x[0].item(), 1, 0),
        (lambda x: bool((x > 3).any()), 1, 0),
        (lambda x: x.tolist(), 1, 1),
        (lambda x: x.cpu(), 1, 1),
        (lambda x: x[x > 3], 1, 0),
        (lambda x: (x > 3).nonzero(), 1, 0),
        (lambda x: x.index_put_((x > 3,), x.new_zeros(())), 1, 0),
        (lambda x: torch.linalg.eigh(x[1:2, None] * x[None, 1:2]), 1, 0),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), 1, 1),
        (lambda x: torch.ones(3).to(x.device, non_blocking=True), 0, 1),
        (lambda x: torch.ones(3, device=x.device), 0, 0),
    ],
)
def test_it_counts(card, x, does, waits, copies):
    does(x)
    assert (sum(card.waits.values()), sum(card.copies.values())) == (waits, copies)
    assert all(line.startswith("pretence_on_card.py:") for line in card.waits | card.copies)


def test_kernels_are_operations_but_no_views(card, x):
    (x.view(2, 3) * 2).sum(dim=1)
    assert sum(card.kernels.values()) == 2
    with card.apart():
        x + 1
    assert sum(card.kernels.values()) == 2


def test_values_in_place_and_derivatives_are_the_cpus(x):
    x[2:].mul_(2)
    assert x.tolist() == [0, 1, 4, 6, 8, 10]
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((x * x).sum(), x)
    assert gradient.tolist() == [0, 2, 8, 12, 16, 20]


@pytest.mark.parametrize(
    ("does", "count"),
    [
        (lambda x: x.cumsum(0), 1),
        (lambda x: x.long().cumsum(0), 0),
        (lambda x: x.median(0), 1),
        (lambda x: torch.bincount(x.long(), x), 1),
        (lambda x: torch.bincount(x.long()), 0),
        (lambda x: x.scatter_reduce(0, x.long(), x, "prod"), 1),
        (lambda x: x.scatter_reduce(0, x.long(), x, "amax"), 0),
        (lambda x: x.index_add(0, x.long(), x), 0),
    ],
)
def test_it_knows_what_has_no_deterministic_form(card, x, does, count):
    does(x)
    assert sum(card.unrepeatable.values()) == count
