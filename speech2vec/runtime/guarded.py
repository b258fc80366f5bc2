"""Files that may be damaged, or made to do harm: whatever is wrong with one is a `UserError` with its path.

The libraries that parse Parquet, NumPy's arrays, CSV and safetensors raise whatever they meet. Here it becomes one
line. (JSON: `speech2vec.runtime.files.read_json_as`; TOML: `speech2vec.runtime.config.read_toml`.)
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import require_file, shortened

REMEDY = "copy it again, or make it again"

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what begins a formula in a spreadsheet

# Run-length encoding makes a column of one value as small as one wishes: what a file may become in memory is bounded
# by its size, as for archives.
_MOST_ROWS_PER_BYTE, _MOST_ROWS_OF_ANY = 5, 50_000


@contextlib.contextmanager
def parsing(path: Path, kind: str, remedy: str = REMEDY) -> Iterator[None]:
    """Turn what a library raises while it parses `path` into a `UserError`: "PATH is not KIND: ...".

    Only the call of the library belongs into the block: an error of ours would be told as one of the file.

    Parameters
    ----------
    path : Path
    kind : str
        What the file should be, "a Parquet file".
    remedy : str
        What the user can do.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {remedy}") from error
    except Exception as error:  # of any kind: what a parser raises on damaged input is not documented
        # Arrow's are OSErrors without a number.
        reason = (isinstance(error, OSError) and error.strerror) or shortened(_first_line(error), 100)
        said = "cannot be read" if isinstance(error, OSError) and error.strerror else f"is not {kind}"
        raise UserError(f"{path} {said} ({reason}): {remedy}") from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Begin what a `UserError` about values says with the file that they came from."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def read_parquet(path: Path, schema: pa.Schema, remedy: str = REMEDY) -> pa.Table:
    """Read the columns of `schema` from a Parquet file, cast to its types; other columns are not read.

    Raises
    ------
    UserError
        If the file is missing or not Parquet, lacks a column, has one that cannot be cast, a null where the schema
        has none, or more rows than its size can explain.
    """
    with parsing(path, "a readable Parquet file", remedy), pq.ParquetFile(require_file(path)) as file:
        names, n_rows = file.schema_arrow.names, file.metadata.num_rows
        if n_rows > max(_MOST_ROWS_OF_ANY, _MOST_ROWS_PER_BYTE * path.stat().st_size):
            raise UserError(f"{path} claims {n_rows:,} rows, too many for its size: {remedy}")
        missing = [name for name in schema.names if name not in names]
        if missing:
            raise UserError(f"{path} lacks the column(s) {', '.join(missing)}: {remedy}")
        doubled = [name for name in schema.names if names.count(name) > 1]
        if doubled:
            raise UserError(f"{path} has the column(s) {', '.join(doubled)} twice: {remedy}")
        table = file.read(columns=schema.names).select(schema.names)
        table.validate(full=True)  # offsets and UTF-8, which no reader checks: a wrong one would crash the process
    for field in schema:
        column = table[field.name]
        if not field.nullable and column.null_count:
            raise UserError(f"{path} has a row without '{field.name}': {remedy}")
        try:
            cast = _cast(column, field.type)
        except (pa.ArrowException, ValueError, TypeError) as error:
            found = shortened(str(column.type))
            raise UserError(
                f"{path} has a column of the wrong type: '{field.name}' is {found}, not {field.type}: {remedy}"
            ) from error
        table = table.set_column(table.schema.get_field_index(field.name), field, cast)
    return table


def _cast(column: pa.ChunkedArray, to: pa.DataType) -> pa.ChunkedArray:
    if column.type == to:
        return column.unify_dictionaries() if pa.types.is_dictionary(to) else column
    found = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    wanted = to.value_type if pa.types.is_dictionary(to) else to
    # Not "12" as a number, nor 0.5 as an integer.
    if pa.types.is_string(wanted):
        fits = pa.types.is_string(found) or pa.types.is_large_string(found)
    else:
        fits = pa.types.is_integer(found) or (pa.types.is_floating(found) and pa.types.is_floating(wanted))
    if not fits and not pa.types.is_null(found):
        raise TypeError("another kind of values")
    return column.cast(to) if wanted == to else column.cast(wanted).dictionary_encode()


def read_array(path: Path, dtype: Any, shape: tuple[int | None, ...], remedy: str = REMEDY) -> np.ndarray:
    """Open a ``.npy`` file as a memory map, which claims no memory whatever its header says.

    Parameters
    ----------
    path : Path
    dtype : dtype or tuple of dtype
        One of which it must have.
    shape : tuple of int or None
        None is any length.
    remedy : str

    Raises
    ------
    UserError
        If the file is missing, is no array (pickles and archives are not read), or has another type or shape.
    """
    dtypes = [np.dtype(one) for one in (dtype if isinstance(dtype, tuple) else (dtype,))]
    with parsing(path, "a complete array", remedy):
        array = np.load(require_file(path), mmap_mode="r", allow_pickle=False)
    if (
        not isinstance(array, np.ndarray)
        or array.dtype not in dtypes
        or array.ndim != len(shape)
        or any(wanted not in (None, found) for wanted, found in zip(shape, array.shape, strict=True))
    ):
        wanted = " x ".join("any" if n is None else str(n) for n in shape)
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise UserError(f"{path} is {shortened(found)}, not {' or '.join(map(str, dtypes))} of {wanted}: {remedy}")
    return array


def check_arrays(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a ValueError that names the first array which is not of finite floating-point numbers, or of its shape."""
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape:
            raise ValueError(f"{shortened(name)} is of shape {array.shape}, not {shape}")
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise ValueError(f"{shortened(name)} holds numbers that are not finite, or of the type {array.dtype}")


@contextlib.contextmanager
def open_utf8(path: Path) -> Iterator[TextIO]:
    """Open a text in UTF-8 for reading; a byte-order mark is left out.

    Raises
    ------
    UserError
        If the file cannot be read, or what is read from it in the block is not UTF-8.
    """
    try:
        with require_file(path).open(encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): convert it") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in Windows-1252, as older programs write it."""
    with parsing(path, "a text"):
        return decode_text(require_file(path).read_bytes())


def decode_text(data: bytes) -> str:
    """Decode text as UTF-8 if it is valid, else as Windows-1252."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Windows-1252 leaves five bytes undefined; as U+FFFD they stay visible.
        return data.decode("cp1252", errors="replace")


def read_csv(path: Path, delimiters: str = ",") -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    """The columns of a CSV with a header, and its rows with their line numbers; None where a row is too short.

    Parameters
    ----------
    path : Path
    delimiters : str
        The one that is most frequent in the header counts.

    Raises
    ------
    UserError
        If the file cannot be read, or is not a CSV: a field is too long, for one.
    """
    text = read_text(path)
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(delimiters, key=header.count))
    try:
        columns = list(reader.fieldnames or ())
        # A row that is longer than the header has its rest under None.
        rows = [(reader.line_num, {key: without_guard(row[key]) for key in row if key is not None}) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}: is it a CSV?") from error
    return columns, rows


def guarded_cell(value: object) -> object:
    """A cell of a CSV; text that a spreadsheet would take for a formula gets an apostrophe before it.

    Examples
    --------
    >>> guarded_cell("=cmd|' /C calc'!A0"), guarded_cell("-1.5"), guarded_cell("'twas")
    ("'=cmd|' /C calc'!A0", '-1.5', "'twas")
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def without_guard(cell: str | None) -> str | None:
    """The text of a cell that `guarded_cell` wrote."""
    return cell[1:] if cell is not None and cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
