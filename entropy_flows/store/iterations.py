"""What became of a campaign's iterations: counts, decisions, failed jobs, points of its curve."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING

from entropy_flows.digest import digest
from entropy_flows.store.collections import CampaignCollections
from entropy_flows.store.fence import Fence, current_launch, merge
from entropy_flows.store.seals import insert_once, replace, set_fields, setting

if TYPE_CHECKING:
    from entropy_flows.environments import ModelProcess

MAX_MESSAGE = 2000
"""Longest message of a failure, in characters."""


class Iterations(CampaignCollections):
    """The iterations of one campaign, with their failures and the points of its learning curve."""

    def record(self, iteration: int, **fields: Any) -> None:
        """Set fields of an iteration's document, which is made if there is none."""
        set_fields(
            self.database["iterations"],
            {"campaign": self.name, "iteration": iteration},
            {**fields, "updated": datetime.now(UTC)},
            unmatched="insert",
        )

    def record_seconds(self, iteration: int, job: str, seconds: float) -> None:
        """Record the wall time (s) of a job, such as `explore/3`, for people who ask."""
        set_fields(
            self.database["iterations"],
            {"campaign": self.name, "iteration": iteration},
            {f"seconds.{job.replace('.', '_')}": seconds, "updated": datetime.now(UTC)},
            unmatched="insert",
            silent=True,
        )

    def record_environments(self, iteration: int, processes: Iterable[ModelProcess]) -> None:
        """Record the packages of the environments whose models a job has used.

        Jobs of the same packages write the same; a name that is two environments on two machines
        has two entries.
        """
        for process in processes:
            facts = process.facts()
            if facts is not None:
                self.record(iteration, **{f"environments.{digest(facts)[:16]}": facts})

    def count_labels(self, iteration: int, number: int) -> None:
        """Add to the count of an iteration's labels until gathering has counted them.

        The count is for people who watch. A job that is killed has added nothing.
        """
        total = {"$add": [{"$ifNull": ["$label.labelled", 0]}, number]}
        is_open = {"$eq": [{"$type": "$label.failed"}, "missing"]}
        count = {"$cond": [is_open, total, "$label.labelled"]}
        self._change_iteration(iteration, {"label.labelled": count}, silent=True)

    def iterations(self) -> list[dict[str, Any]]:
        """Return the documents of all iterations, in order."""
        rows = self.database["iterations"].find({"campaign": self.name})
        return list(rows.sort("iteration", ASCENDING))

    def plan(self, iteration: int, name: str, value: Any, lease: Fence | None = None) -> Any:
        """Decide something about an iteration once: the first value stays, whoever asks again.

        Parameters
        ----------
        iteration
            Number of the iteration.
        name
            What is decided.
        value
            What it is, unless it was decided before.
        lease
            Lease without which nothing is decided.

        Returns
        -------
        Any
            The value that was decided for.
        """
        self.record(iteration)
        key = {"campaign": self.name, "iteration": iteration}
        decision = setting("iterations", key, {f"plan.{name}": value})
        first_stays = {
            path: {"$ifNull": [f"${path}", {"$literal": new}]} for path, new in decision.items()
        }
        self._change_iteration(iteration, first_stays, lease)
        document = self.database["iterations"].find_one(key, {"plan": 1})
        return None if document is None else document["plan"][name]

    def _change_iteration(
        self,
        iteration: int,
        change: dict[str, Any],
        lease: Fence | None = None,
        silent: bool = False,
    ) -> None:
        """Set fields of an iteration's document to expressions, if the document exists."""
        key = {"campaign": self.name, "iteration": iteration}
        merge(
            self.database["iterations"],
            [key],
            on=tuple(key),
            matched=[{"$set": change}],
            unmatched="discard",
            lease=lease,
            silent=silent,
        )

    def add_failure(self, iteration: int, stage: str, title: str, uuid: str, message: str) -> None:
        """Record that a stage's job failed for a reason of its own.

        Parameters
        ----------
        iteration, stage
            Which jobs it is one of.
        title
            What tells the job from the others of its stage, such as "explore 3".
        uuid
            Identifier of the job.
        message
            The reason.
        """
        launch = current_launch()
        body = {
            "iteration": iteration,
            "stage": stage,
            "title": title,
            "message": message[:MAX_MESSAGE],
            "launch": launch.number if launch is not None else None,
            "created": datetime.now(UTC),
        }
        replace(self.database["failures"], {"campaign": self.name, "uuid": uuid}, body)

    def delete_failures(self, uuids: list[str]) -> None:
        """Delete the failures of jobs that are run again, or that have succeeded since."""
        query: dict[str, Any] = {"campaign": self.name, "uuid": {"$in": uuids}}
        launch = current_launch()
        if launch is not None:
            # a worker that wakes up late must not delete what a later launch has found out
            query["launch"] = {"$not": {"$gt": launch.number}}
        self.database["failures"].delete_many(query)

    def failures(self, **query: Any) -> list[dict[str, Any]]:
        """Return the failures with these fields, the latest last."""
        rows = self.database["failures"].find({"campaign": self.name, **query})
        return list(rows.sort("created", ASCENDING))

    def failed_stages(self) -> dict[str, str]:
        """Return job's uuid → message, of the stages that failed in the last iteration.

        Those of `physics --queue` and `retrain` are no stages of the loop, and submitted anew.
        """
        failures = self.failures(stage={"$nin": ["physics", "retrain"]})
        last = max((row["iteration"] for row in [*failures, *self.iterations()]), default=0)
        return {row["uuid"]: row["message"] for row in failures if row["iteration"] == last}

    def save_point(self, point: dict[str, Any]) -> None:
        """Store a point of a learning curve; the first one written stays."""
        key = {"campaign": self.name, **{name: point[name] for name in ("method", "size", "seed")}}
        insert_once(self.database["points"], key, {**point, "created": datetime.now(UTC)})

    def equal_point(self, inputs_sha256: str) -> dict[str, Any] | None:
        """Return a point, of any curve, with the same cells, recipe and base model."""
        return self.database["points"].find_one({"inputs_sha256": inputs_sha256})

    def points(self) -> list[dict[str, Any]]:
        """Return all points, small sets first, then by method and seed."""
        order = [(name, ASCENDING) for name in ("size", "method", "seed")]
        return list(self.database["points"].find({"campaign": self.name}).sort(order))
