"""Ways to damage a file: blind ones for any bytes, and ones that keep a format whole but for one place in it."""

from __future__ import annotations

import csv
import io
import json
import pickle
import re
import struct
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Mutation = Callable[[bytes, Random], bytes]

NUMBERS = (
    "-1",
    "0",
    "1e308",
    "1e-320",
    "nan",
    "-inf",
    "99999999999999999999",
    "2147483648",
    "9" * 5000,
    "0x7fffffff",
    "1.5.2",
    "",
)
INSERTED = (
    b"\0" * 64,
    b"\xff\xfe\x80\xc3\x28",
    b"\xed\xa0\x80",  # a lone surrogate
    b"A" * 200_000,
    b"9" * 200_000,
    b"((" * 20_000,
    b"[" * 100_000,
    b"{" * 20_000,
    b'"' * 999,
    b"\n" * 5_000,
    b"\r",
    b"../../../x",
    b"\xef\xbb\xbf",
    b"\x1b[2J\x07",
    "e\u0301".encode() * 10_000,
)
# Values of every JSON type, at the edges of what programs expect.
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**400,
    0.5,
    1e308,
    float("nan"),
    "",
    "x",
    "9",
    "\0",
    "\ud800",
    "../../../x",
    "A" * 100_000,
    [],
    {},
    [None],
    [[]],
    {"x": {"y": []}},
)


def damaged(data: bytes, name: str, random: Random) -> bytes:
    """A mutation of the contents of a file; its suffix says which mutations of a format there are besides the blind."""
    own = BY_SUFFIX.get(name.rpartition(".")[2], ())
    for _ in range(random.choice((1, 1, 1, 2))):
        chosen = random.choice(own) if own and random.random() < 0.6 else random.choice(BLIND)
        try:
            data = chosen(data, random)
        except Exception:  # there is nothing, or nothing any more, that it could change
            data = flip_bits(data, random)
    return data


def flip_bits(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 30))):
        if changed:
            # Headers lie at the beginning, or (Parquet) at the end.
            place = random.choice((0, len(changed) - 1, random.randrange(len(changed))))
            place = max(0, min(len(changed) - 1, place + random.randrange(-100, 100)))
            changed[place] ^= 1 << random.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    value = random.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
    return data[:place] + value + data[place + 4 :]


def truncate(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def remove(data: bytes, random: Random) -> bytes:
    first = random.randrange(len(data) + 1)
    return data[:first] + data[first + random.choice((1, 7, 100, 5000)) :]


def double(data: bytes, random: Random) -> bytes:
    first = random.randrange(len(data) + 1)
    chunk = data[first : first + random.choice((1, 50, 3000))]
    return data[:first] + chunk * random.choice((2, 2, 20)) + data[first + len(chunk) :]


def insert(data: bytes, random: Random) -> bytes:
    place = random.choice((0, len(data), random.randrange(len(data) + 1)))
    return data[:place] + random.choice(INSERTED) + data[place:]


def change_number(data: bytes, random: Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", data))
    match = random.choice(found)
    return data[: match.start()] + random.choice(NUMBERS).encode() + data[match.end() :]


def swap_lines(data: bytes, random: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    random.shuffle(lines)
    return b"".join(lines)


def replace_all(data: bytes, random: Random) -> bytes:
    return random.choice(
        (b"", b"\0" * 4096, b"PK\x05\x06" + bytes(18), b"null", b"[]", b"{}", b"\n", data * 2, b"\x80")
    )


BLIND: tuple[Mutation, ...] = (
    *(flip_bits, flip_bits, set_bytes, truncate, remove, double),
    *(insert, insert, change_number, swap_lines, replace_all),
)


def change_value(value: Any, random: Random) -> Any:
    """The same JSON with one node replaced, removed or renamed."""
    nodes: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in pairs:
            nodes.append((node, key))
            visit(child)

    visit(value)
    if not nodes or random.random() < 0.05:
        return random.choice(VALUES)
    parent, key = random.choice(nodes)
    how = random.random()
    if how < 0.2 and isinstance(parent, dict):
        del parent[key]
    elif how < 0.3 and isinstance(parent, dict):
        parent[random.choice(("", "../../../x", "é", "\ud800", "x" * 300))] = parent.pop(key)
    else:
        parent[key] = random.choice(VALUES)
    return value


def change_json(data: bytes, random: Random) -> bytes:
    text = json.dumps(change_value(json.loads(data), random))
    return text.encode("utf-8", "surrogatepass")


def nest_json(data: bytes, random: Random) -> bytes:
    values = list(re.finditer(rb'(?<=[:\[,])\s*("[^"]*"|-?[\d.]+|null|true|false)', data))
    match = random.choice(values)
    depth = random.choice((10, 1000, 100_000))
    brackets = random.choice((b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth))
    return data[: match.start()] + brackets + data[match.end() :]


def change_json_line(data: bytes, random: Random) -> bytes:
    lines = data.splitlines()
    number = random.randrange(len(lines))
    lines[number] = change_json(lines[number], random)
    return b"\n".join(lines) + b"\n"


def change_csv(data: bytes, random: Random) -> bytes:
    text = data.decode()
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    row = random.choice(rows)
    how = random.random()
    if how < 0.2:
        del row[random.randrange(len(row)) :]
    elif how < 0.3:
        row += ["more"] * random.choice((1, 1000))
    elif how < 0.5:
        row[random.randrange(len(row))] = "x" * 140_000
    else:
        row[random.randrange(len(row))] = random.choice((*NUMBERS, "", '"', "\n", "\r", "../../x", "é", "\0", "=1+1"))
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def change_npy(data: bytes, random: Random) -> bytes:
    array = np.load(io.BytesIO(data))
    out = io.BytesIO()
    how = random.randrange(9)
    with np.errstate(all="ignore"):
        if how == 0:
            kinds = ("<f8", "<i4", "<f2", "<c8", "<U3", "|b1", "<M8[s]", ">f4")
            np.save(out, np.zeros(array.shape, random.choice(kinds)))
        elif how == 1:
            np.save(out, array.reshape(random.choice(((-1,), (1, -1, 1), (-1, 1)))))
        elif how == 2:
            np.save(out, array[: random.randrange(len(array) + 1)])
        elif how == 3:
            np.save(out, np.array([{"x": 1}] * 3, dtype=object), allow_pickle=True)
        elif how == 4:
            np.savez(out, array)
        elif how == 5:
            np.save(
                out, np.where(np.arange(array.size).reshape(array.shape) % 7 == 0, np.nan, array).astype(array.dtype)
            )
        elif how == 6:
            np.save(out, np.array(1, dtype=array.dtype))
        elif how == 7:
            np.save(out, np.zeros(len(array), dtype=[("a", "<f4"), ("b", "<i8")]))
        else:  # a header that promises what the file has not
            shapes = ("(99999999999, 13)", "(-1, 5)", "(2, 9223372036854775807)", "(1.5,)", "()", "(True, 5)", "'x'")
            header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {random.choice(shapes)}, }}\n".encode()
            out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data[128:])
    return out.getvalue()


def change_pickle(data: bytes, random: Random) -> bytes:
    """A pickle, which would run a command if anything unpickled it."""

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, ("raise SystemError('a pickle was run')",)

    return pickle.dumps(Harm())


def change_parquet(data: bytes, random: Random) -> bytes:
    table = pq.read_table(io.BytesIO(data))
    place = random.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    n = len(table)
    how = random.randrange(9)
    wrong: Any
    if how == 0:
        table = table.drop_columns([name])
    elif how == 1:
        table = table.set_column(place, name, pa.array([None] * n, random.choice((pa.null(), column.type))))
    elif how == 2:
        values = column.to_pylist()
        values[random.randrange(n)] = None
        table = table.set_column(place, name, pa.array(values, column.type))
    elif how == 3:
        wrong = random.choice(
            ([[1]] * n, ["x"] * n, [b"\xff"] * n, [True] * n, [{"a": 1}] * n, [1.5] * n, [-1] * n, [2**62] * n)
        )
        table = table.set_column(place, name, pa.array(wrong))
    elif how == 4 and pa.types.is_floating(column.type):
        wrong = random.choice((float("nan"), float("inf"), -1e308, 1e308, 1e18, -0.5))
        table = table.set_column(place, name, pa.array([wrong] * n, column.type))
    elif how == 4 and pa.types.is_integer(column.type):
        wrong = random.choice((-1, 0, 2**31 - 1, -(2**31)))
        table = table.set_column(place, name, pa.array([wrong] * n, column.type))
    elif how == 5:
        table = table.append_column(random.choice((name, "extra")), pa.array([[1, 2]] * n))
    elif how == 6:
        table = table.slice(0, random.randrange(n + 1))
    elif how == 7:
        table = table.replace_schema_metadata(
            random.choice(({"notes": "[1"}, {"notes": "{}"}, {"speech2vec": "{"}, {}))
        )
    else:
        table = pa.concat_tables([table] * 3)
        table = table.take(pa.array([random.randrange(3 * n) for _ in range(2 * n)]))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def change_parquet_nested(data: bytes, random: Random) -> bytes:
    """A file of run-length codes: a few bytes that become very many rows."""
    table = pq.read_table(io.BytesIO(data))
    columns = {
        name: pa.repeat(pa.scalar(None, table.schema.field(name).type), 3_000_000) for name in table.column_names
    }
    for name in table.column_names:
        first = table[name][0].as_py() if len(table) else None
        if first is not None and not isinstance(first, (list, dict)):
            kind = table.schema.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            columns[name] = pa.repeat(pa.scalar(first, kind), 3_000_000)
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def change_toml(data: bytes, random: Random) -> bytes:
    lines = data.decode().splitlines()
    number = random.choice([i for i, line in enumerate(lines) if "=" in line])
    key = lines[number].partition("=")[0]
    values = ("-1", "true", '"x"', "[]", "{}", "nan", "inf", "1e308", "9" * 4301, "[[1]]", "1979-05-27", '"\\ud800"')
    deep = ("[" * 100_000, "[" * 500 + "]" * 500, "{a=" * 300 + "1" + "}" * 300, "0.5", "4096", "2147483647")
    lines[number] = random.choice(
        (
            f"{key}= {random.choice((*values, *deep))}",
            "",
            f"{lines[number]}\n{lines[number]}",
            f"x{lines[number]}",
            f"{'.'.join('a' * 2000)} = 1",
            f"[{key.strip()}]\nx = 1",
        )
    )
    return "\n".join(lines).encode()


def change_safetensors(data: bytes, random: Random) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    if metadata and random.random() < 0.6:  # JSON inside the JSON
        name = random.choice(sorted(metadata))
        try:
            inner = json.loads(metadata[name])
            metadata[name] = json.dumps(change_value(inner, random))
        except ValueError:
            metadata[name] = random.choice(("", "x", "[" * 50_000))
    else:
        header = change_value(header, random)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


BY_SUFFIX: dict[str, tuple[Mutation, ...]] = {
    "json": (change_json, change_json, change_json, nest_json),
    "jsonl": (change_json_line, change_json_line, nest_json),
    "csv": (change_csv,),
    "npy": (change_npy, change_npy, change_pickle),
    "parquet": (change_parquet, change_parquet, change_parquet, change_parquet_nested),
    "toml": (change_toml,),
    "safetensors": (change_safetensors, change_safetensors, change_pickle),
}
