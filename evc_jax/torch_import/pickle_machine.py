"""The stack of a pickle machine that can only build plain data; `pickle_opcodes` runs it.

A pickle is a program for a stack machine, and Python's own machine imports and calls whatever the program names. This
one knows numbers, strings, tuples, lists, dicts and sets; it imports nothing, calls nothing and sets no attribute.
What a global, a call, a new object or its state mean is asked of `Meaning`, which answers with inert values or refuses.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from evc_jax.torch_import.rejection import Malformed

# The largest checkpoint of the originals has 0.2 MB of pickle.
MAX_PICKLE_BYTES = 16 * 2**20
MAX_LINE_BYTES = 4096


@runtime_checkable
class Meaning(Protocol):
    """What the machine asks for. Every answer must be inert; each method may raise `Rejected`."""

    def find_global(self, module: str, name: str) -> Any:
        """The stand-in of a global."""

    def call(self, function: Any, arguments: Any) -> Any:
        """The result of REDUCE."""

    def create(self, kind: Any, arguments: Any) -> Any:
        """The result of NEWOBJ."""

    def set_state(self, target: Any, state: Any) -> None:
        """What BUILD does."""

    def load_persistent(self, identifier: Any) -> Any:
        """The object that an identifier outside the pickle stands for."""


class PickleMachine:
    """Program, stack, marks and memo of one pickle. Every method refuses what the program may not do."""

    def __init__(self, data: memoryview, meaning: Meaning, start: int = 0):
        """`start` is where in `data` the pickle begins; `position` is where it is read."""
        self.position = start
        self._data = data
        self._end = min(len(data), start + MAX_PICKLE_BYTES)
        self._meaning = meaning
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        """The next bytes of the program."""
        if not 0 <= count <= self._end - self.position:
            raise Malformed("its pickle ends too early or is too long")
        taken = bytes(self._data[self.position : self.position + count])
        self.position += count
        return taken

    def line(self) -> bytes:
        """The next line of the program, without its end."""
        window = bytes(self._data[self.position : min(self._end, self.position + MAX_LINE_BYTES)])
        length = window.find(b"\n")
        if length < 0:
            raise Malformed("its pickle ends in the middle of a line")
        self.position += length + 1
        return window[:length]

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        self._check_operand()
        return self._stack.pop()

    def top(self, kind: type) -> Any:
        """The topmost value, which must be of exactly this type."""
        self._check_operand()
        if type(self._stack[-1]) is not kind:
            raise Malformed(f"its pickle takes a {type(self._stack[-1]).__name__} for a {kind.__name__}")
        return self._stack[-1]

    def any_top(self) -> Any:
        self._check_operand()
        return self._stack[-1]

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise Malformed("its pickle lacks a mark")
        height = self._marks.pop()
        items = self._stack[height:]
        del self._stack[height:]
        return items

    def remember(self, index: int) -> None:
        self._memo[index] = self.any_top()

    def remember_next(self) -> None:
        self.remember(len(self._memo))

    def recall(self, index: int) -> None:
        if index not in self._memo:
            raise Malformed("its pickle recalls what it never stored")
        self.push(self._memo[index])

    def push_global(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Malformed("its pickle names a global by something else than strings")
        self.push(self._meaning.find_global(module, name))

    def reduce(self) -> None:
        arguments = self.pop()
        self.push(self._meaning.call(self.pop(), arguments))

    def create(self, kind: Any, arguments: Any) -> None:
        self.push(self._meaning.create(kind, arguments))

    def build(self) -> None:
        state = self.pop()
        self._meaning.set_state(self.any_top(), state)

    def load_persistent(self, identifier: Any) -> None:
        self.push(self._meaning.load_persistent(identifier))

    def _check_operand(self) -> None:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise Malformed("its pickle takes more values than it has")
