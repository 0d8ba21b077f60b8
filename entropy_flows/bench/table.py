"""Tables of features and targets as CSV files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from entropy_flows.label.compressed import open_binary

Column = np.ndarray | list[str]
"""Numbers, or texts."""


def read_table(path: Path) -> dict[str, Column]:
    """Read the columns of a CSV file with a header.

    Returns
    -------
    dict
        Name → an array if the column holds numbers alone, else its texts.

    Raises
    ------
    ValueError
        If there is no such file, a row of another length, or a number that is not finite.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a table with a header, or extended XYZ")
    with open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        rows = [row for row in csv.reader(text) if row]
    if len(rows) < 2:
        raise ValueError(f"{path} has {len(rows)} rows; expected a header and at least one row")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path}, row {number}: {len(row)} values, the header has {len(rows[0])}"
            )
    columns = {name: _column(texts) for name, *texts in zip(*rows, strict=True)}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            # Rows are counted from 1, and the first is the header.
            row_number = int(np.argmin(np.isfinite(values))) + 2
            raise ValueError(f"{path}, row {row_number}: {name} is not finite")
    return columns


def _column(texts: list[str]) -> Column:
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        return texts
