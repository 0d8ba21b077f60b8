"""Run the campaigns whose pools the evidence compares: some rules, each from two seeds.

A rule is the campaign file of a system with another section `select`. Budget, teacher and student
are the same, and but for the wide ones the grid. Each seed has baselines of its own, and all share
one independent test.

Example: python evidence/campaigns.py --system silicon --folder runs/evidence
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from shared import SYSTEMS, add_workers, campaign_file, command_line

from entropy_flows.cli.run import refuse_unfinished, run_workers
from entropy_flows.flows import ActiveLearningMaker, IndependentTestMaker, RandomMDMaker
from entropy_flows.flows.pools import independent_pool, random_pool
from entropy_flows.jobs.curve import SELECTED
from entropy_flows.launch.session import Session, open_session
from entropy_flows.schemas import Campaign

LOGDET = "logdet"
VARIANCE = "variance"
HERDING = "herding"
VARIANCE_PLAIN = {"selector": VARIANCE, "target": "plain"}
HERDING_PLAIN = {"selector": HERDING, "target": "plain"}
WIDE = {"entropy_weights": [0, 0, 0, 0, 2, 5, 10]}
"""As many trajectories of plain dynamics as the baseline has, four of each condition."""
RULES: dict[str, dict[str, dict[str, Any]]] = {
    LOGDET: {},
    VARIANCE: {"select": VARIANCE_PLAIN},
    HERDING: {"select": HERDING_PLAIN},
    # for plain dynamics alone four of five cells are plain dynamics: half of this target is what
    # the biased dynamics find
    "variance-mix": {"select": {**VARIANCE_PLAIN, "mix": 0.5}},
    "variance-wide": {"select": VARIANCE_PLAIN, "explore": WIDE},
    "herding-wide": {"select": HERDING_PLAIN, "explore": WIDE},
}
"""Name of a rule → sections that it changes; `max_labels` stays the file's."""
RANDOM = "random"
BASELINES: dict[str, dict[str, Any]] = {RANDOM: {}, "random-early": {"ramp": 0}}
"""Kind of plain dynamics without a choice → settings of its dynamics. The later one has its
snapshots at the same times as the rules' candidates, the earlier one right after the warm-up."""
KINDS = (*RULES, *BASELINES)
"""Kinds of pools, in the order in which they run: the baselines need to know log det's size."""
POOL_SEEDS = (42, 43)
"""Seeds of the pools; the first is that of the campaign files."""


def pool_campaign(
    campaign: Campaign, rule: str, seed: int, compiled: Path | None = None
) -> Campaign:
    """Return a system's campaign with a rule and a seed, and maybe its base model compiled."""
    name = campaign.name
    settings = campaign.model_dump(mode="json", exclude_unset=True)
    if rule != LOGDET:
        name = f"{name}-{rule}"
        settings["explore"] = {**settings.get("explore", {}), **RULES[rule].get("explore", {})}
        max_labels = campaign.select.max_labels
        settings["select"] = {**RULES[rule]["select"], "max_labels": max_labels}
    if seed != campaign.seed:
        name = f"{name}-{seed}"
    if compiled is not None:
        settings |= {"base_model": str(compiled.resolve()), "student": campaign.base_model}
    return Campaign.model_validate(settings | {"name": name, "seed": seed})


@dataclass(frozen=True)
class SystemPools:
    """The pools of a system."""

    system: Session
    """The campaign file's session."""
    compiled: Path | None = None
    """The base model in its compiled form, which explores in half the time. A campaign that has
    begun without it goes on without."""

    def rule(self, rule: str, seed: int) -> Campaign:
        """Return the campaign of a rule and a seed."""
        campaign = pool_campaign(self.system.campaign, rule, seed, self.compiled)
        store = self.system.store.of(campaign.name)
        if store.exists() and store.document()["config"]["base_model"] != campaign.base_model:
            return pool_campaign(self.system.campaign, rule, seed)
        return campaign

    def baseline(self, kind: str, seed: int) -> Campaign:
        """Return a baseline of a seed: as many labels as the rule of the file has there."""
        campaign = pool_campaign(self.system.campaign, LOGDET, seed, self.compiled)
        pool = random_pool(campaign, self.size(campaign))
        explore = campaign.explore.model_copy(update=BASELINES[kind])
        name = f"{pool.name}-late" if kind == RANDOM else pool.name
        return pool.model_copy(update={"name": name, "explore": explore})

    @property
    def independent(self) -> Campaign:
        """The independent test."""
        campaign = pool_campaign(self.system.campaign, LOGDET, POOL_SEEDS[0], self.compiled)
        return independent_pool(campaign)

    def size(self, campaign: Campaign) -> int:
        """Count a campaign's labels."""
        labels = self.system.store.of(campaign.name).labels(converged=True, **SELECTED)
        return sum(1 for _ in labels)

    def steps(self, kinds: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[Campaign, Any]]:
        """Yield campaigns with their Makers, each when those before it have ended.

        Parameters
        ----------
        kinds
            Of `KINDS`.
        seeds
            Of `POOL_SEEDS`.

        Raises
        ------
        ValueError
            If a baseline's turn comes before log det's pool, whose size it has, is there.
        """
        for seed in seeds:
            for kind in kinds:
                if kind in BASELINES:
                    logdet = self.rule(LOGDET, seed)
                    if not self.is_done(logdet.name):
                        raise ValueError(
                            f"{kind} has as many labels as {logdet.name}, which has not ended; run "
                            f"--rules {LOGDET} --seeds {seed} first"
                        )
                    campaign = self.baseline(kind, seed)
                    size = self.size(logdet)
                    yield campaign, RandomMDMaker.from_campaign(campaign, size=size)
                else:
                    campaign = self.rule(kind, seed)
                    yield campaign, ActiveLearningMaker.from_campaign(campaign)
            yield self.independent, IndependentTestMaker.from_campaign(self.independent)

    def run(
        self, workers: int, console: Console, kinds: Sequence[str], seeds: Sequence[int]
    ) -> None:
        """Run what is missing."""
        for campaign, maker in self.steps(kinds, seeds):
            if not self.is_done(campaign.name):
                run_step(self.system.of(campaign), maker, workers, console)

    def is_done(self, name: str) -> bool:
        """Return whether a campaign has ended."""
        store = self.system.store.of(name)
        return store.exists() and store.document()["state"] == "done"


def run_step(step: Session, maker: Any, workers: int, console: Console) -> None:
    """Run one campaign to its end.

    Raises
    ------
    RuntimeError
        If it has failed, or stands still.
    """
    name = step.campaign.name
    console.rule(name, align="left")
    state, message = run_workers(step, console, workers, maker=maker)
    refuse_unfinished(name, state, message)


def main() -> None:
    """Run the pools of each system."""
    parser = command_line(__doc__)
    add_workers(parser)
    parser.add_argument(
        "--system", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="default: all"
    )
    parser.add_argument(
        "--compiled",
        type=Path,
        help="base model of one system, compiled by `entropy-flows model`",
    )
    parser.add_argument("--rules", nargs="+", choices=KINDS, default=KINDS, help="default: all")
    parser.add_argument(
        "--seeds", nargs="+", type=int, choices=POOL_SEEDS, default=POOL_SEEDS, help="default: both"
    )
    options = parser.parse_args()
    for system in options.system:
        with open_session(campaign_file(system), options.folder / system) as session:
            pools = SystemPools(session, options.compiled)
            pools.run(options.workers, Console(), options.rules, options.seeds)


if __name__ == "__main__":
    main()
