"""Write data.md: the collections of the database, as the classes of their documents have them."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from entropy_flows.store.documents import DOCUMENTS, PYTHON_NAMES, StoredDocument
from entropy_flows.store.schema import UNIQUE

PAGE = Path(__file__).with_name("data.md")
HEAD = """\
# What the database holds

One database (`ENTROPY_FLOWS_DATABASE`, default `entropy_flows`) has three things:

- the campaigns, in the collections below;
- jobflow's outputs: the collection `outputs`, and their large arrays in GridFS `blobs`;
- the workflow manager's launchpad.

The ledger is append-only.
A structure's identifier follows from campaign and key, a key from iteration, stage, run and step.
So a job that runs twice writes the same documents.
The covariance is a fold over the ledger.
`Ledger.statistics` starts from the last stored one and replays what follows it.

Each document but a lease has `seals`.
They hold, under the name of each field, the first 16 hex digits of a SHA-256.
It is of the field and of what names the document.
Whoever sets a field later (`split`, `flagged`, the counts of an iteration) seals it.
All is written by `store/seals.py`, or sealed by it.
`entropy-flows verify` compares: see [faults](faults.md).

Two more collections have no class.
`leases` says who appends to a ledger (`ledger/NAME`) or runs a campaign (`run/NAME`),
and until when.
`arrays.files` and `arrays.chunks` are the GridFS bucket of what is longer than 1 MiB.
The chunks are unique by {chunks}.

`python docs/data.py` makes this page from the classes in `entropy_flows/store/documents.py`.
"""
NAMES = {attribute: name for name, attribute in PYTHON_NAMES.items()}
WORDS = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
WORDS |= {"datetime": "time", "bytes": "bytes", "Any": "anything"}


def text() -> str:
    """Write the page."""
    chunks = ", ".join(f"`{name}`" for name in UNIQUE["arrays.chunks"][0])
    chapters = [HEAD.format(chunks=chunks)]
    for collection, document in DOCUMENTS.items():
        chapters.append(_chapter(collection, document))
    return "\n".join(chapters)


def _chapter(collection: str, document: type[StoredDocument]) -> str:
    """Describe a collection: what a document is, its unique keys and its fields."""
    keys = " and ".join(f"({', '.join(fields)})" for fields in UNIQUE[collection])
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    for name, field in document.model_fields.items():
        if name == "seals":
            continue
        type_ = _type(field.annotation) + ("" if field.is_required() else ", if any")
        meaning = " ".join(str(field.description).split())
        rows.append(f"| `{NAMES.get(name, name)}` | {type_} | {meaning} |")
    summary = str(document.__doc__).splitlines()[0]
    return f"## {collection}\n\n{summary} Unique by {keys}.\n\n" + "\n".join(rows) + "\n"


def _type(annotation: Any) -> str:
    """Name the type of a field."""
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        others = [_type(argument) for argument in arguments if argument is not types.NoneType]
        return " or ".join([*others, "null"])
    if origin is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "mapping"
    name = getattr(annotation, "__name__", str(annotation))
    return WORDS.get(name, "mapping")


if __name__ == "__main__":
    PAGE.write_text(text())
    print(f"written: {PAGE}")
