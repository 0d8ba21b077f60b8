"""What a campaign stores is written with its seals: by `store.seals` or by who is named here."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "entropy_flows"
WRITERS = {
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "replace_one",
    "bulk_write",
    "find_one_and_update",
    "find_one_and_replace",
}
"""Of pymongo; beside them `merge` of `store.fence`."""
ELSEWHERE = {
    "store/seals.py": "seals what it writes",
    "store/fence.py": "writes what it is given",
    "store/lease.py": "leases, which are no one's data",
    "store/arrays.py": "bytes, whose SHA-256 is in the document that names them",
    "launch/": "FireWorks' own documents, and the time of a submission, which has no seal",
}
HELPERS = {
    "find_one_and_update": "FireWorks' own numbers of jobs and launches",
    "_insert": "`_chained` seals the entries",
    "_change_iteration": "`plan` seals what it decides; a count of labels has no seal",
}
SEALING = {"sealed", "setting", "insert_once", "replace", "set_fields"}


def names_called(node: ast.AST) -> set[str]:
    calls = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
    return {
        f".{call.attr}" if isinstance(call, ast.Attribute) else getattr(call, "id", "")
        for call in calls
    }


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_whoever_writes_a_document_seals_it(path):
    if str(path.relative_to(PACKAGE)).startswith(tuple(ELSEWHERE)):
        return
    writers = {"merge", *(f".{name}" for name in WRITERS)}
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef) or function.name in HELPERS:
            continue
        called = names_called(function)
        assert not called & writers or called & SEALING, (
            f"{function.name} writes a document without its seals"
        )
