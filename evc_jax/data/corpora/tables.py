"""Metadata files of corpora as text, or an error that names file, line and remedy: no row is lost silently."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evc_jax.errors import DataError, one_line
from evc_jax.files import printable

# UTF-32's little-endian mark begins with that of UTF-16.
_MARKS = (
    ((codecs.BOM_UTF8,), "utf-8-sig"),
    ((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32"),
    ((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16"),
)


def read_text(file: Path, otherwise: Callable[[bytes], str] | None = None) -> str:
    """The text of a file in the encoding of its byte-order mark, or else UTF-8; `otherwise` decodes what is neither.

    Raises:
      DataError: the file cannot be read or decoded.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error
    return decode_text(data, printable(file), otherwise)


def decode_text(data: bytes, name: str, otherwise: Callable[[bytes], str] | None = None) -> str:
    """`read_text` of the content of a file; `name` stands for it in messages."""
    try:
        return data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        if otherwise is not None:
            return otherwise(data)
        line, encoding = data.count(b"\n", 0, error.start) + 1, _encoding(data).removesuffix("-sig").upper()
        raise DataError(f"{name}, line {line}: the text is not {encoding}; save the file as UTF-8.") from error


def optional_text(file: Path) -> str:
    """`read_text` without outer blanks; "" where there is no such file."""
    return read_text(file).strip() if file.is_file() else ""


def matching_lines(pattern: re.Pattern[str], text: str) -> dict[str, str]:
    """The second group of a pattern, by the first, in all lines that begin with it."""
    matches = map(pattern.match, text.splitlines())
    return {match[1]: match[2].strip() for match in matches if match}


def read_csv(file: Path, required: Sequence[str], expected: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file below its head: (line that a row begins in, fields by column, without outer blanks).

    Raises:
      DataError: the file cannot be read or decoded, lacks a column, or has a row that does not fit its head, as one
        with a quotation mark that is not closed.
    """
    yield from rows_of_csv(read_text(file), printable(file), required, expected)


def rows_of_csv(text: str, name: str, required: Sequence[str], expected: str) -> Iterator[tuple[int, dict[str, str]]]:
    """`read_csv` of the text of a file; `name` stands for it in messages."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    start = 1
    try:
        for fields in reader:
            fields = [field.strip() for field in fields]
            if not columns:
                columns = fields
                if absent := [column for column in required if column not in columns]:
                    raise DataError(f"{name} has no column {' or '.join(absent)}; {expected}.")
            elif any(fields[len(columns) :]):
                raise DataError(
                    f"{name}, line {start}: {len(fields)} fields where there are {len(columns)} columns; "
                    "put a field that holds commas between quotation marks."
                )
            elif fields:
                yield start, dict(zip(columns, fields + [""] * (len(columns) - len(fields)), strict=False))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{name}, line {start}: a quotation mark is not closed, or a field is longer than "
            f"{csv.field_size_limit():,} characters ({one_line(error)}); mend the line."
        ) from error
    if not columns:
        raise DataError(f"{name} has no column {' or '.join(required)}; {expected}.")


def unreadable(file: Path, error: OSError) -> DataError:
    """The error for a file or folder of a corpus that the system does not let us read."""
    reason = "no permission" if isinstance(error, PermissionError) else error.strerror or one_line(error)
    return DataError(f"{printable(file)} cannot be read ({reason}); make it readable.")


def _encoding(data: bytes) -> str:
    return next((encoding for marks, encoding in _MARKS if data.startswith(marks)), "utf-8")
