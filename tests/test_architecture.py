"""The structure of the package: imports point one way, and no longer passage of code stands twice."""

import ast
import graphlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "evc_jax"
# From the bottom up: what stands on a floor may import from its own floor and from the floors below.
FLOORS = (
    ("errors", "config", "extras", "files", "jax_cache", "assets"),
    ("audio",),
    ("features", "models"),
    ("pretrained",),
    ("vocoders", "data", "torch_import"),
    ("conversion",),
    ("evaluation",),
    ("training",),
    ("serving", "studio"),
    ("cli", "__main__"),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
ABOVE = ("configs", "scripts", "benchmarks", "tests", "support")
MODULE_NAME = re.compile(r"evc_jax(\.\w+)+")
REPEATED_LINES = 10


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def package_of(path: Path) -> str:
    """The name directly below `evc_jax` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, at its top or inside a function."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE_NAME.fullmatch(node.value):
            yield node.lineno, node.value  # for `importlib.import_module`


MODULES = sorted(PACKAGE.rglob("*.py"))
# The package's own `__init__.py` offers names of any floor, and imports them when they are first used.
INSIDE = [path for path in MODULES if path.parent != PACKAGE or path.name != "__init__.py"]


def test_every_package_has_a_floor():
    assert {package_of(path) for path in INSIDE} <= set(FLOOR_OF)


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    own = package_of(path)
    wrong = []
    for line, name in imported_names(path):
        first, *rest = name.split(".")
        upwards = first == "evc_jax" and rest and FLOOR_OF.get(rest[0], 0) > FLOOR_OF[own]
        if upwards or first in ABOVE:
            wrong.append(f"line {line}: {own} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_packages_form_no_circle():
    graph = {}
    for path in INSIDE:
        names = (name.split(".") for _, name in imported_names(path))
        found = {parts[1] for parts in names if parts[0] == "evc_jax" and len(parts) > 1 and parts[1] in FLOOR_OF}
        graph.setdefault(package_of(path), set()).update(found - {package_of(path)})
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"These packages import each other: {' <- '.join(error.args[1])}.")


def code_lines(path: Path) -> list[tuple[int, str]]:
    """Numbers and texts of the lines that are code: no imports, docstrings, comments or blank lines."""
    left_out = set()
    for node in ast.walk(parse(path)):
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(map(str.strip, path.read_text(encoding="utf-8").splitlines()), start=1)
    return [(number, text) for number, text in lines if number not in left_out and text and not text.startswith("#")]


def repeated_passages(paths: list[Path], length: int) -> list[str]:
    """Where runs of so many code lines stand a second time; of a longer run its beginning."""
    seen, passages = {}, []
    for path in paths:
        lines, previous = code_lines(path), False
        for start in range(len(lines) - length + 1):
            run = tuple(text for _, text in lines[start : start + length])
            place = f"{path.name}:{lines[start][0]}"
            first = seen.setdefault(run, place)
            if first != place and not previous:
                passages.append(f"{place} repeats {first}")
            previous = first != place
    return passages


def test_no_passage_stands_twice():
    passages = repeated_passages(MODULES, REPEATED_LINES)
    assert not passages, "\n".join(passages)


def test_repeated_passages_are_found_whatever_stands_between(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text('"""One."""\nimport os\na = 1\nb = 2\nc = 3\n')
    two.write_text('"""Two."""\nz = 0\n\ndef f():\n    a = 1\n    # why\n    b = 2\n\n    c = 3\n')
    assert repeated_passages([one, two], 3) == ["two.py:5 repeats one.py:3"]
    assert repeated_passages([one, two], 4) == []
