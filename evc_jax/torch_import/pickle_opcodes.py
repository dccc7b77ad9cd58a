"""The opcodes of pickles, run so that they can only build plain data.

Every program is bounded: in bytes, in opcodes, and in what a single opcode may cost. A result may be deeply nested and
may share its parts, as billion-laughs pickles do; only keys are ever hashed, and those must be flat.
"""

from __future__ import annotations

import codecs
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

from evc_jax.torch_import.pickle_machine import Meaning, PickleMachine
from evc_jax.torch_import.rejection import Malformed, Rejected

# The largest checkpoint of the originals has 100,000 opcodes.
MAX_OPCODES = 500_000
MAX_INTEGER_BYTES = 64
MAX_KEY_PARTS = 8

_NAMES = {ord(op.code): op.name for op in pickletools.opcodes}
_SCALARS = (str, bytes, int, float, bool, type(None))


def run_pickle(data: memoryview, meaning: Meaning, start: int = 0) -> tuple[Any, int]:
    """Runs one pickle of a buffer.

    Args:
      data: the buffer.
      meaning: what the pickle's globals, calls and objects stand for.
      start: where in `data` the pickle begins.

    Returns:
      the object that the pickle describes, and the position behind it.

    Raises:
      Rejected: the pickle is cut short, malformed, too long, or asks for what `meaning` refuses.
    """
    machine = PickleMachine(data, meaning, start)
    for _ in range(MAX_OPCODES):
        code = machine.take(1)[0]
        if code == pickle.STOP[0]:
            return machine.pop(), machine.position
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise Malformed(f"its pickle holds {_NAMES.get(code, f'the unknown opcode {code}')}")
        operation(machine)
    raise Rejected(f"has a pickle of more than {MAX_OPCODES:,} opcodes, which no checkpoint of ours needs")


def _check_key(key: Any) -> Any:
    """Hashing shared nested tuples takes exponential time, so that keys must be flat."""
    parts = key if type(key) is tuple and len(key) <= MAX_KEY_PARTS else (key,)
    for part in parts:
        if type(part) not in _SCALARS or (type(part) is int and not -(2**63) <= part < 2**64):
            raise Malformed(f"its pickle has a {type(key).__name__} that is no plain key in a dict or set")
    return key


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise Malformed("its pickle has a key without a value")
    return {_check_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _set(items: list[Any]) -> set:
    return {_check_key(item) for item in items}


def _number(layout: str) -> Callable[[PickleMachine], Any]:
    size = struct.calcsize(layout)
    return lambda machine: struct.unpack(layout, machine.take(size))[0]


def _sized(layout: str, decode: Callable[[bytes], Any]) -> Callable[[PickleMachine], Any]:
    length = _number(layout)
    return lambda machine: decode(machine.take(length(machine)))


def _integer(data: bytes) -> int:
    if len(data) > MAX_INTEGER_BYTES:
        raise Malformed(f"its pickle has an integer of {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def _text(encoding: str) -> Callable[[bytes], str]:
    def decode(data: bytes) -> str:
        try:
            return data.decode(encoding)
        except UnicodeError as error:
            raise Malformed("its pickle has a string of no known encoding") from error

    return decode


def _parsed(parse: Callable[[bytes], Any]) -> Callable[[PickleMachine], Any]:
    """Values of protocol 0, which are written as text."""

    def read(machine: PickleMachine) -> Any:
        try:
            return parse(machine.line())
        except (ValueError, OverflowError) as error:
            raise Malformed("its pickle has text that is no value") from error

    return read


def _text_integer(line: bytes) -> int | bool:
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line.removesuffix(b"L") or b"0")


def _quoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
        raise ValueError("not quoted")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


def _protocol(machine: PickleMachine) -> None:
    if machine.take(1)[0] > pickle.HIGHEST_PROTOCOL:
        raise Malformed("its pickle is of an unknown protocol")


def _instance(machine: PickleMachine) -> None:
    arguments = tuple(machine.pop_to_mark())
    names = _text("utf-8")
    machine.push_global(names(machine.line()), names(machine.line()))
    machine.create(machine.pop(), arguments)


def _object(machine: PickleMachine) -> None:
    items = machine.pop_to_mark()
    if not items:
        raise Malformed("its pickle makes an object of no class")
    machine.create(items[0], tuple(items[1:]))


def _new_object(machine: PickleMachine, keywords: bool) -> None:
    if keywords and machine.pop() != {}:
        raise Malformed("its pickle makes an object with named arguments")
    arguments = machine.pop()
    machine.create(machine.pop(), arguments)


def _stack_global(machine: PickleMachine) -> None:
    name = machine.pop()
    machine.push_global(machine.pop(), name)


def _set_item(machine: PickleMachine) -> None:
    value = machine.pop()
    key = _check_key(machine.pop())
    machine.top(dict)[key] = value


def _append(machine: PickleMachine) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _append_all(machine: PickleMachine) -> None:
    items = machine.pop_to_mark()
    machine.top(list).extend(items)


def _set_items(machine: PickleMachine) -> None:
    pairs = _pairs(machine.pop_to_mark())
    machine.top(dict).update(pairs)


def _add_items(machine: PickleMachine) -> None:
    items = _set(machine.pop_to_mark())
    machine.top(set).update(items)


def _last(count: int) -> Callable[[PickleMachine], Any]:
    return lambda machine: tuple(reversed([machine.pop() for _ in range(count)]))


_VALUES: dict[bytes, Callable[[PickleMachine], Any]] = {
    pickle.NONE: lambda machine: None,
    pickle.NEWTRUE: lambda machine: True,
    pickle.NEWFALSE: lambda machine: False,
    pickle.EMPTY_TUPLE: lambda machine: (),
    pickle.EMPTY_LIST: lambda machine: [],
    pickle.EMPTY_DICT: lambda machine: {},
    pickle.EMPTY_SET: lambda machine: set(),
    pickle.BININT: _number("<i"),
    pickle.BININT1: _number("<B"),
    pickle.BININT2: _number("<H"),
    pickle.BINFLOAT: _number(">d"),
    pickle.LONG1: _sized("<B", _integer),
    pickle.LONG4: _sized("<i", _integer),
    pickle.BINUNICODE: _sized("<I", _text("utf-8")),
    pickle.SHORT_BINUNICODE: _sized("<B", _text("utf-8")),
    pickle.BINUNICODE8: _sized("<Q", _text("utf-8")),
    pickle.BINSTRING: _sized("<i", _text("latin-1")),
    pickle.SHORT_BINSTRING: _sized("<B", _text("latin-1")),
    pickle.BINBYTES: _sized("<I", bytes),
    pickle.SHORT_BINBYTES: _sized("<B", bytes),
    pickle.BINBYTES8: _sized("<Q", bytes),
    pickle.BYTEARRAY8: _sized("<Q", bytes),
    pickle.INT: _parsed(_text_integer),
    pickle.LONG: _parsed(_text_integer),
    pickle.FLOAT: _parsed(float),
    pickle.STRING: _parsed(_quoted),
    pickle.UNICODE: _parsed(_text("raw-unicode-escape")),
    pickle.TUPLE: lambda machine: tuple(machine.pop_to_mark()),
    pickle.TUPLE1: _last(1),
    pickle.TUPLE2: _last(2),
    pickle.TUPLE3: _last(3),
    pickle.LIST: lambda machine: machine.pop_to_mark(),
    pickle.DICT: lambda machine: _pairs(machine.pop_to_mark()),
    pickle.FROZENSET: lambda machine: frozenset(_set(machine.pop_to_mark())),
    pickle.DUP: lambda machine: machine.any_top(),
}


def _pushing(read: Callable[[PickleMachine], Any]) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.push(read(machine))


def _indexed(read: Callable[[PickleMachine], Any], act: Callable) -> Callable[[PickleMachine], None]:
    return lambda machine: act(machine, read(machine))


_OPERATIONS: dict[int, Callable[[PickleMachine], Any]] = {
    code[0]: operation
    for code, operation in {
        **{code: _pushing(read) for code, read in _VALUES.items()},
        pickle.PROTO: _protocol,
        pickle.FRAME: lambda machine: machine.take(8),
        pickle.MARK: PickleMachine.mark,
        pickle.POP: PickleMachine.pop,
        pickle.POP_MARK: PickleMachine.pop_to_mark,
        pickle.APPEND: _append,
        pickle.APPENDS: _append_all,
        pickle.SETITEM: _set_item,
        pickle.SETITEMS: _set_items,
        pickle.ADDITEMS: _add_items,
        pickle.PUT: _indexed(_parsed(_text_integer), PickleMachine.remember),
        pickle.BINPUT: _indexed(_number("<B"), PickleMachine.remember),
        pickle.LONG_BINPUT: _indexed(_number("<I"), PickleMachine.remember),
        pickle.MEMOIZE: PickleMachine.remember_next,
        pickle.GET: _indexed(_parsed(_text_integer), PickleMachine.recall),
        pickle.BINGET: _indexed(_number("<B"), PickleMachine.recall),
        pickle.LONG_BINGET: _indexed(_number("<I"), PickleMachine.recall),
        pickle.GLOBAL: lambda machine: machine.push_global(*(_text("utf-8")(machine.line()) for _ in range(2))),
        pickle.STACK_GLOBAL: _stack_global,
        pickle.INST: _instance,
        pickle.OBJ: _object,
        pickle.NEWOBJ: lambda machine: _new_object(machine, keywords=False),
        pickle.NEWOBJ_EX: lambda machine: _new_object(machine, keywords=True),
        pickle.REDUCE: PickleMachine.reduce,
        pickle.BUILD: PickleMachine.build,
        pickle.PERSID: lambda machine: machine.load_persistent(_text("utf-8")(machine.line())),
        pickle.BINPERSID: lambda machine: machine.load_persistent(machine.pop()),
    }.items()
}
