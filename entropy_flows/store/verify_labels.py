"""Verify labels, iterations and models: each is whole, and belongs to what it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from gridfs import GridFSBucket

from entropy_flows.potentials import split_model
from entropy_flows.schemas.stages import IMPORT, LEDGER_STAGES, Stage
from entropy_flows.store.labels import SPLITS
from entropy_flows.store.relabelling import RELABEL
from entropy_flows.store.verify_context import (
    Check,
    VerifyContext,
    VerifyResult,
    entry_title,
    file_defect,
)

COPIED_FIELDS = ("key", "position", "iteration", "stage")
"""Fields that a label has from its entry."""


def labels(context: VerifyContext) -> VerifyResult:
    """Check that each label is of an entry, with finite numbers or a reason, and none lacks."""
    problems: list[str] = []
    counts = Counter[tuple[str, str]]()
    hashes = Counter[str]()
    for number, label in enumerate(context.store.labels()):
        context.progress("labels", number, len(context.entries))
        identifier = label["structure_id"]
        entry = context.by_id.get(identifier) or _later(context, identifier)
        problems += _defects(label, entry)
        counts[label["structure_id"], label["engine_hash"]] += 1
        hashes[label["engine_hash"]] += not label.get("foreign")
    for (identifier, _), n in counts.items():
        if n > 1:
            problems.append(f"entry {identifier}: {n} labels with the same settings")
    engines = +hashes
    if len(engines) > 1:
        shares = ", ".join(f"{n} of {name[:8]}…" for name, n in engines.most_common())
        problems.append(f"labels of {len(engines)} settings of the engine are mixed: {shares}")
    lost, explained = _missing_labels(context, {identifier for identifier, _ in counts})
    return VerifyResult("labels", counts.total(), problems + lost, explained)


def _missing_labels(context: VerifyContext, labelled: set[str]) -> tuple[list[str], list[str]]:
    """Return the entries of gathered iterations without a label, and those of a failed job."""
    gathered = {model["iteration"] for model in _models(context)}
    for document in context.iterations:
        if "failed" in document.get("label", {}):
            gathered.add(document["iteration"])
    failures = {row["iteration"]: row for row in context.store.failures(stage="label")}
    lost: list[str] = []
    explained: list[str] = []
    for entry in context.entries:
        if entry["iteration"] not in gathered or entry["_id"] in labelled:
            continue
        line = f"{entry_title(entry)}: no label"
        failure = failures.get(entry["iteration"])
        if failure is None:
            lost.append(line)
        else:
            explained.append(f"{line}, {failure['title']} failed: {failure['message']}")
    return lost, explained


def _defects(label: dict[str, Any], entry: dict[str, Any] | None) -> Iterator[str]:
    title = f"label of {entry_title(label)}"
    if entry is None:
        yield f"{title}: its structure is not in the ledger"
        return
    different = [name for name in COPIED_FIELDS if label[name] != entry[name]]
    if different:
        yield f"{title}: the ledger has another {', '.join(different)}"
    if not label["converged"]:
        if not label.get("reason"):
            yield f"{title}: failed, and no reason is given"
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
            # None becomes nan
            value = np.array(label.get(name), dtype=float)
        except ValueError:
            yield f"{title}: {name} is not an array of numbers"
            continue
        if value.shape != shape:
            yield f"{title}: {name} has shape {value.shape}, expected {shape}"
        elif not np.isfinite(value).all():
            yield f"{title}: {name} is not finite"


def splits(context: VerifyContext) -> VerifyResult:
    """Check that a cell has one split, for good, and that what a model was trained on has one."""
    problems: list[str] = []
    trained = max((model["iteration"] for model in _models(context)), default=0)
    ever_excluded = {row["key"] for row in context.exclusions}
    by_key: dict[str, set[str | None]] = {}
    labels = context.store.labels(converged=True, foreign={"$ne": True}, flagged={"$ne": True})
    for label in labels:
        split = label.get("split")
        by_key.setdefault(label["key"], set()).add(split)
        was_seen = label["iteration"] <= trained and label["key"] not in ever_excluded
        if split is None and was_seen:
            problems.append(
                f"{entry_title(label)}: the model of iteration {trained} saw it, "
                f"and it is in no part"
            )
    for key, values in by_key.items():
        if len(values) > 1 or not values <= set(SPLITS):
            names = ", ".join(sorted(map(str, values)))
            problems.append(f"{key}: is in {names}, expected one of train, val, test")
    return VerifyResult("splits", len(by_key), problems)


def iterations(context: VerifyContext) -> VerifyResult:
    """Check what the stages counted against the documents that there are."""
    in_ledger = Counter((entry["iteration"], entry["stage"]) for entry in context.entries)
    numbers = {document["iteration"] for document in context.iterations}
    missing = sorted({iteration for iteration, _ in in_ledger} - numbers)
    problems = [f"iteration {number}: entries in the ledger, and no document" for number in missing]
    trained = {model["iteration"] for model in _models(context)}
    for document in context.iterations:
        number = document["iteration"]
        label = document.get("label", {})
        if label and "failed" not in label and number in trained:
            problems.append(
                f"iteration {number}: a model was trained, but its labels were not counted"
            )
        for name, counted, n in _counts(context, document, in_ledger):
            if counted is not None and counted != n:
                problems.append(
                    f"iteration {number}, {name}: {counted} by its document, there are {n}"
                )
    return VerifyResult("iterations", len(context.iterations), problems)


def _counts(
    context: VerifyContext, document: dict[str, Any], in_ledger: Counter[tuple[int, str]]
) -> Iterator[tuple[str, int | None, int]]:
    """Yield what an iteration counts: name, number by its document, number of documents."""
    number = document["iteration"]
    label = document.get("label", {})
    stages = {stage: in_ledger[number, stage] for stage in LEDGER_STAGES if stage != IMPORT}
    for stage in (Stage.SELECT.value, Stage.REFINE.value):
        yield stage, document.get(stage, {}).get("accepted"), stages[stage]
    yield "imported", document.get("import", {}).get("entered"), in_ledger[number, IMPORT]
    yield "requested", label.get("requested"), sum(stages.values())
    if "failed" in label:
        yield "labelled", label["labelled"], _labelled(context, number)


def _labelled(context: VerifyContext, iteration: int) -> int:
    """Count the good labels of an iteration."""
    query = {
        "campaign": context.store.name,
        "iteration": iteration,
        "converged": True,
        "stage": {"$ne": IMPORT},
    }
    return context.store.database["labels"].count_documents(query)


def models(context: VerifyContext) -> VerifyResult:
    """Check models: whole files, a parent of the same campaign, one for each iteration."""
    rows = _models(context)
    references = {row["reference"] for row in [*rows, *context.store.versions()]}
    numbers = [model["iteration"] for model in rows]
    problems: list[str] = []
    for count, model in enumerate(rows):
        context.progress("models", count, len(rows))
        title = f"model of iteration {model['iteration']}"
        if model["sha256"] is not None:
            problems += [f"{title}: {defect}" for defect in _file_defects(context, model)]
        if model["iteration"] > 0 and model.get("parent") not in references:
            parent = str(model.get("parent"))[:20]
            problems.append(f"{title}: its parent {parent}… is no model of this campaign")
    trained = sorted(number for number in numbers if number > 0)
    first = _first_trained(context)
    if trained != list(range(first, first + len(trained))) or (numbers and 0 not in numbers):
        listed = ", ".join(map(str, sorted(numbers)))
        expected = "all from 0 on" if first == 1 else f"0 and all from {first} on"
        problems.append(f"models of iterations {listed}: expected {expected}, once each")
    return VerifyResult("models", len(rows), problems)


def _first_trained(context: VerifyContext) -> int:
    """Return the first iteration with a model: of those labelled again, the last one."""
    again = (row["iteration"] for row in context.iterations if RELABEL in row.get("plan", {}))
    return max(1, *again, 1)


def members(context: VerifyContext) -> VerifyResult:
    """Check the files of the committees' further members."""
    rows = list(context.store.database["members"].find({"campaign": context.store.name}))
    problems = [
        f"member {model['member']} of iteration {model['iteration']}: {defect}"
        for model in rows
        for defect in _file_defects(context, model)
    ]
    return VerifyResult("members", len(rows), problems)


def versions(context: VerifyContext) -> VerifyResult:
    """Check the files of models that were trained again, and what they replaced."""
    rows = context.store.versions()
    references = {row["reference"] for row in [*_models(context), *rows]}
    problems: list[str] = []
    for row in rows:
        title = f"version {row['version']} of iteration {row['iteration']}"
        problems += [f"{title}: {defect}" for defect in _file_defects(context, row)]
        for name in ("parent", "replaced"):
            if row[name] not in references:
                problems.append(f"{title}: its {name} is no model of this campaign")
        if row["exclusions"] > len(context.exclusions):
            problems.append(f"{title}: went by {row['exclusions']} exclusions, fewer are there")
    return VerifyResult("versions", len(rows), problems)


def _file_defects(context: VerifyContext, model: dict[str, Any]) -> Iterator[str]:
    if split_model(model["reference"])[0] != f"sha256:{model['sha256']}":
        yield "its reference is not its checksum"
    files = context.store.database["models.files"]
    entry = files.find_one({"_id": model["file"]}, {"metadata": 1})
    if entry is not None and entry.get("metadata", {}).get("sha256") != model["sha256"]:
        yield "its file is not entered under its checksum"
    bucket = GridFSBucket(context.store.database, "models")
    defect = file_defect(bucket, model["file"], model["sha256"])
    if defect is not None:
        yield defect


def _models(context: VerifyContext) -> list[dict[str, Any]]:
    return list(
        context.store.database["models"].find({"campaign": context.store.name}).sort("iteration", 1)
    )


def _later(context: VerifyContext, structure_id: str) -> dict[str, Any] | None:
    """Return an entry that was appended after the ledger was read."""
    return context.ledger.structures.find_one({"_id": structure_id, "campaign": context.store.name})


LABEL_CHECKS: tuple[Check, ...] = (
    iterations,
    labels,
    splits,
    models,
    members,
    versions,
)
