"""Labels, iterations and models: whether each belongs to what it says it does, and is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gridfs import GridFSBucket

from entropy_flows.potentials import split_model
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES
from entropy_flows.store.subject import VerifyContext, VerifyResult, file_defect

SPLITS = (None, "train", "val", "test")
PLACE = ("key", "position", "iteration", "stage")


def labels(subject: VerifyContext) -> VerifyResult:
    """Of an entry each, at its place; with finite numbers, or with a reason; one for each entry that was labelled."""
    problems: list[str] = []
    trained = {model["iteration"] for model in _models(subject)}
    gathered = trained | {
        doc["iteration"] for doc in subject.iterations if "failed" in doc.get("label", {})
    }
    seen = Counter[tuple[str, str]]()
    hashes = Counter[str]()
    for number, label in enumerate(subject.store.labels()):
        subject.progress("labels", number, len(subject.entries))
        entry = subject.by_id.get(label["structure_id"]) or _later(subject, label["structure_id"])
        problems += _defects(label, entry)
        seen[label["structure_id"], label["engine_hash"]] += 1
        hashes[label["engine_hash"]] += not label.get("foreign")
    problems += [
        f"entry {structure}: {n} labels with the same settings"
        for (structure, _), n in seen.items()
        if n > 1
    ]
    if len(mixed := +hashes) > 1:
        counts = ", ".join(f"{n} of {name[:8]}…" for name, n in mixed.most_common())
        problems.append(f"labels of {len(mixed)} settings of the engine are mixed: {counts}")
    labelled = {structure for structure, _ in seen}
    missing = [
        e for e in subject.entries if e["iteration"] in gathered and e["_id"] not in labelled
    ]
    failed = {row["iteration"]: row for row in subject.store.failures(stage="label")}
    lost = [f"{_name(entry)}: no label" for entry in missing if entry["iteration"] not in failed]
    known = [
        f"{_name(entry)}: no label, {row['place']} failed: {row['message']}"
        for entry in missing
        if (row := failed.get(entry["iteration"])) is not None
    ]
    return VerifyResult("labels", seen.total(), problems + lost, known)


def _defects(label: dict[str, Any], entry: dict[str, Any] | None) -> Iterator[str]:
    what = f"label of position {label['position']} ({label['key']})"
    if entry is None:
        yield f"{what}: its structure is not in the ledger"
        return
    if wrong := [name for name in PLACE if label[name] != entry[name]]:
        yield f"{what}: the ledger has another {', '.join(wrong)}"
    if not label["converged"]:
        if not label.get("reason"):
            yield f"{what}: failed, and no reason is given"
        return
    for name, shape in (
        ("energy", ()),
        ("free_energy", ()),
        ("forces", (entry["n_atoms"], 3)),
        ("stress", (3, 3)),
    ):
        if label.get(name) is None and name == "stress":
            continue
        try:
            value = np.array(label.get(name), dtype=float)  # None becomes nan
        except ValueError:
            yield f"{what}: {name} is not an array of numbers"
            continue
        if value.shape != shape:
            yield f"{what}: {name} has shape {value.shape}, expected {shape}"
        elif not np.isfinite(value).all():
            yield f"{what}: {name} is not finite"


def splits(subject: VerifyContext) -> VerifyResult:
    """A cell is in one part, for good; what a model was trained on has one."""
    problems = []
    trained = max((model["iteration"] for model in _models(subject)), default=0)
    parts: dict[str, set[str | None]] = {}
    for label in subject.store.labels(converged=True, foreign={"$ne": True}, flagged={"$ne": True}):
        parts.setdefault(label["key"], set()).add(label.get("split"))
        if label.get("split") is None and label["iteration"] <= trained:
            problems.append(
                f"{_name(label)}: the model of iteration {trained} saw it, and it is in no part"
            )
    for key, found in parts.items():
        if len(found) > 1 or not found <= set(SPLITS):
            problems.append(
                f"{key}: is in {', '.join(sorted(map(str, found)))}, expected one of train, val, test"
            )
    return VerifyResult("splits", len(parts), problems)


def iterations(subject: VerifyContext) -> VerifyResult:
    """What the stages counted, and what there is of it."""
    in_ledger = Counter((entry["iteration"], entry["stage"]) for entry in subject.entries)
    numbers = {doc["iteration"] for doc in subject.iterations}
    missing = sorted({iteration for iteration, _ in in_ledger} - numbers)
    problems = [f"iteration {number}: entries in the ledger, and no document" for number in missing]
    trained = {model["iteration"] for model in _models(subject)}
    for doc in subject.iterations:
        number, label = doc["iteration"], doc.get("label", {})
        there = {stage: in_ledger[number, stage] for stage in LEDGER_STAGES if stage != IMPORT}
        pairs = [
            (stage, doc.get(stage, {}).get("accepted"), there[stage])
            for stage in ("select", "refine")
        ]
        pairs.append(("imported", doc.get("import", {}).get("entered"), in_ledger[number, IMPORT]))
        pairs.append(("requested", label.get("requested"), sum(there.values())))
        if "failed" in label:
            pairs.append(("labelled", label["labelled"], _labelled(subject, number)))
        elif label and number in trained:
            problems.append(
                f"iteration {number}: a model was trained, but its labels were not counted"
            )
        problems += [
            f"iteration {number}, {what}: {counted} by its document, there are {n}"
            for what, counted, n in pairs
            if counted is not None and counted != n
        ]
    return VerifyResult("iterations", len(subject.iterations), problems)


def _labelled(subject: VerifyContext, iteration: int) -> int:
    """Good labels of an iteration."""
    query = {
        "campaign": subject.store.name,
        "iteration": iteration,
        "converged": True,
        "stage": {"$ne": IMPORT},
    }
    return subject.store.database["labels"].count_documents(query)


def models(subject: VerifyContext) -> VerifyResult:
    """Files that are there and have their checksum, a parent of the same campaign, an iteration each."""
    found = _models(subject)
    references, numbers = (
        {model["reference"] for model in found},
        [model["iteration"] for model in found],
    )
    problems = []
    for count, model in enumerate(found):
        subject.progress("models", count, len(found))
        what = f"model of iteration {model['iteration']}"
        if model["sha256"] is not None:
            problems += [f"{what}: {defect}" for defect in _file_defects(subject, model)]
        if model["iteration"] > 0 and model.get("parent") not in references:
            problems.append(
                f"{what}: its parent {str(model.get('parent'))[:20]}… is no model of this campaign"
            )
    trained = sorted(number for number in numbers if number > 0)
    if trained != list(range(1, len(trained) + 1)) or (numbers and 0 not in numbers):
        problems.append(
            f"models of iterations {', '.join(map(str, sorted(numbers)))}: expected all from 0 on, once each"
        )
    return VerifyResult("models", len(found), problems)


def members(subject: VerifyContext) -> VerifyResult:
    """Files of the committees' further members."""
    found = list(subject.store.database["members"].find({"campaign": subject.store.name}))
    problems = [
        f"member {model['member']} of iteration {model['iteration']}: {defect}"
        for model in found
        for defect in _file_defects(subject, model)
    ]
    return VerifyResult("members", len(found), problems)


def _file_defects(subject: VerifyContext, model: dict[str, Any]) -> Iterator[str]:
    if split_model(model["reference"])[0] != f"sha256:{model['sha256']}":
        yield "its reference is not its checksum"
    described = subject.store.database["models.files"].find_one(
        {"_id": model["file"]}, {"metadata": 1}
    )
    if described is not None and described.get("metadata", {}).get("sha256") != model["sha256"]:
        yield "its file is not entered under its checksum"
    bucket = GridFSBucket(subject.store.database, "models")
    if defect := file_defect(bucket, model["file"], model["sha256"]):
        yield defect


def _models(subject: VerifyContext) -> list[dict[str, Any]]:
    return list(
        subject.store.database["models"].find({"campaign": subject.store.name}).sort("iteration", 1)
    )


def _later(subject: VerifyContext, structure: str) -> dict[str, Any] | None:
    """An entry that was appended after the ledger was read."""
    return subject.ledger.structures.find_one({"_id": structure, "campaign": subject.store.name})


def _name(row: dict[str, Any]) -> str:
    return f"position {row['position']} ({row['key']})"


LABEL_CHECKS: tuple[Callable[[VerifyContext], VerifyResult], ...] = (
    iterations,
    labels,
    splits,
    models,
    members,
)
