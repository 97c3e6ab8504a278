"""A disk that remembers what it was told to keep: SQLite's own file layer, wrapped, and its power cut at any moment.

Every write, truncation, synchronisation and deletion that SQLite asks of the operating system is recorded in order.
After a cut a file holds all that came before its last synchronisation; what came after it is gone, is there, or is
there in part, sector by sector, as the fate says. The shared-memory index is not a file on disk and is gone. Not
simulated: a disk that lies about having synchronised, and directory entries of files that were never synchronised
(such a file is gone).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast, string_at
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

SECTOR = 512
RECORDERS: list[Recorder] = []  # files that are still open speak to theirs for as long as the process lives
OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))  # SQLite keeps the name's address
DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class Methods(Structure):
    """`sqlite3_io_methods`, version 3: https://sqlite.org/c3ref/io_methods.html"""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", WRITE),
        ("truncate", TRUNCATE),
        ("sync", SYNC),
        ("rest", c_void_p * 13),
    )


class Layer(Structure):
    """`sqlite3_vfs`, version 3: https://sqlite.org/c3ref/vfs.html"""

    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", OPEN),
        ("delete", DELETE),
        ("rest", c_void_p * 14),
    )


@dataclass(frozen=True)
class Operation:
    path: str
    kind: str  # write, truncate, sync or delete
    offset: int = 0  # of a truncation: the new length
    data: bytes = b""


@dataclass
class Disk:
    operations: list[Operation] = field(default_factory=list)

    def after_cut(self, at: int, folder: Path, fate: str, rng: np.random.Generator) -> None:
        """The files that `folder` holds when the power fails after the first `at` operations.

        `fate` of what was not synchronised: `lost`, `kept`, or `torn`.
        """
        for path in {operation.path for operation in self.operations[:at]}:
            own = [operation for operation in self.operations[:at] if operation.path == path]
            done = max((place + 1 for place, each in enumerate(own) if each.kind in ("sync", "delete")), default=0)
            held = bytearray()
            exists = done > 0 and own[done - 1].kind != "delete"
            for operation in own[:done]:
                _apply(held, operation)
            for operation in own[done:]:
                for piece in _pieces(operation):
                    if fate == "kept" or (fate == "torn" and rng.random() < 0.5):
                        exists = True
                        _apply(held, piece)
            if exists:
                (folder / Path(path).name).write_bytes(held)


class Recorder:
    """SQLite's own layer underneath, and a disk that remembers what passes."""

    def __init__(self, under: Layer) -> None:
        self.disk, self._under = Disk(), under
        self._paths: dict[int, str] = {}  # by the file's address
        self._tables: dict[int, Methods] = {}  # ours, by the address of the one they wrap
        self.layer = Layer.from_buffer_copy(under)
        self.layer.name, self.layer.open, self.layer.delete = b"recorded", OPEN(self._opened), DELETE(self._deleted)

    def _opened(self, layer: int, name: int | None, file: int, flags: int, out: object) -> int:
        done = int(self._under.open(ctypes.addressof(self._under), name, file, flags, out))
        table = cast(file, POINTER(c_void_p))
        if done == 0 and name is not None and table[0]:
            self._paths[file] = string_at(name).decode()
            table[0] = ctypes.addressof(self._wrapped(int(table[0])))
        return done

    def _deleted(self, layer: int, name: bytes, durable: int) -> int:
        self.disk.operations.append(Operation(name.decode(), "delete"))
        return int(self._under.delete(ctypes.addressof(self._under), name, durable))

    def _wrapped(self, table: int) -> Methods:
        if table in self._tables:
            return self._tables[table]
        was = Methods.from_address(table)
        mine = Methods.from_buffer_copy(was)

        def write(file: int, data: int, amount: int, offset: int) -> int:
            self.disk.operations.append(Operation(self._paths[file], "write", offset, string_at(data, amount)))
            return int(was.write(file, data, amount, offset))

        def truncate(file: int, size: int) -> int:
            self.disk.operations.append(Operation(self._paths[file], "truncate", size))
            return int(was.truncate(file, size))

        def sync(file: int, flags: int) -> int:
            self.disk.operations.append(Operation(self._paths[file], "sync"))
            return int(was.sync(file, flags))

        mine.write, mine.truncate, mine.sync = WRITE(write), TRUNCATE(truncate), SYNC(sync)
        self._tables[table] = mine
        return mine


@contextmanager
def recorded() -> Iterator[Disk]:
    """Every SQLite file that is opened meanwhile; skips where Python carries an SQLite of its own within."""
    library = _library()
    library.sqlite3_vfs_find.restype = POINTER(Layer)
    under = library.sqlite3_vfs_find(None)
    recorder = Recorder(under.contents)
    RECORDERS.append(recorder)
    library.sqlite3_vfs_register(ctypes.byref(recorder.layer), 1)
    try:
        yield recorder.disk
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(recorder.layer))


def _library() -> ctypes.CDLL:
    import sqlite3

    assert sqlite3.sqlite_version
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libsqlite3" in line}
    if not loaded:
        pytest.skip("Python's sqlite3 is not linked to a shared libsqlite3, whose file layer could be wrapped")
    return ctypes.CDLL(loaded.pop())


def _apply(held: bytearray, operation: Operation) -> None:
    if operation.kind == "delete":
        held.clear()
    elif operation.kind == "truncate":
        del held[operation.offset :]
    elif operation.kind == "write":
        held.extend(bytes(max(0, operation.offset - len(held))))
        held[operation.offset : operation.offset + len(operation.data)] = operation.data


def _pieces(operation: Operation) -> Iterator[Operation]:
    """A write sector by sector; anything else whole."""
    if operation.kind != "write":
        yield operation
        return
    for start in range(0, len(operation.data), SECTOR):
        data = operation.data[start : start + SECTOR]
        yield Operation(operation.path, "write", operation.offset + start, data)
