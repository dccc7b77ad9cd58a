"""Fetching files from elsewhere: several at once, within bounds, over connections that are safe."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from evc_jax.errors import BundleError, one_line
from evc_jax.pretrained.archives import MAX_FILES, Allowance, Entry, extract_bundle, write_file
from evc_jax.pretrained.checksums import is_inside, sha256_of

TIMEOUT_S = 30.0
AT_ONCE = 8
# Answers of a web server that may be others a moment later: too slow, too early, too many.
_PASSING = (408, 425, 429)


class UnreachableError(Exception):
    """A place gave no answer, or stopped in the middle of one; the message says why."""


@contextlib.contextmanager
def reaching(place: str) -> Iterator[None]:
    """Makes a BundleError of what says that nothing is there, and UnreachableError of all other errors inside."""
    try:
        yield
    except (BundleError, UnreachableError):
        raise
    except Exception as error:  # every library has kinds of its own
        response = getattr(error, "response", None)
        status = getattr(error, "code", None) or getattr(response, "status_code", None)
        refused = str(status).isdigit() and 300 <= int(str(status)) < 500 and int(str(status)) not in _PASSING
        if refused or isinstance(error, FileNotFoundError | PermissionError):
            raise BundleError(
                f"There is no bundle at {place}, or none that you may read ({one_line(error)}); check its name, and "
                "log in where it is private."
            ) from error
        reason = getattr(error, "reason", None)  # what urllib wraps
        raise UnreachableError(one_line(reason if isinstance(reason, Exception) else error)) from error


def web_open(url: str) -> Any:
    """The answer of a web server; its `read` is to be called inside `reaching`, too.

    Raises:
      BundleError: it says that there is nothing, or the connection would not be encrypted.
      UnreachableError: it does not answer.
    """
    from urllib import request

    class Redirects(request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            check_web_place(newurl)
            if req.full_url.startswith("https:") and not newurl.startswith("https:"):
                raise BundleError(f"{url} leads to {newurl}, which is not encrypted; give another address.")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    check_web_place(url)
    handlers: list[Any] = [Redirects()]
    if _is_loopback(urlsplit(url).hostname or ""):
        handlers.append(request.ProxyHandler({}))
    with reaching(url):
        asked = request.Request(url, headers={"User-Agent": "evc_jax", "Accept-Encoding": "identity"})
        return request.build_opener(*handlers).open(asked, timeout=TIMEOUT_S)


def check_web_place(place: str) -> None:
    """Raises BundleError unless a URL is of https, or of http on this machine."""
    parts = urlsplit(place)
    host = parts.hostname or ""
    if not host:
        raise BundleError(f"{place} names no server; give https://SERVER/PATH.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise BundleError(f"{place} would be fetched without encryption; give an https:// address.")


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def check_pin(found: str, expected: str | None, place: str) -> None:
    """Raises BundleError where an archive has another SHA-256 than the expected one, if one is expected."""
    if expected and found != expected:
        raise BundleError(
            f"The archive {place} has the SHA-256 {found}, expected {expected}; ask its author which one is right."
        )


def fetch_archive(
    opener: Callable[[], IO[bytes]], folder: Path, place: str, sha256: str | None, progress: bool
) -> None:
    """Fetches an archive and writes the bundle that it holds into a folder; `sha256` is the expected one."""
    beside = folder / ".download"
    archive = beside / "archive"
    fetch_files([Entry(archive.name, opener)], beside, place, progress)
    check_pin(sha256_of(archive), sha256, place)
    extract_bundle(archive, folder, place)
    archive.unlink()
    beside.rmdir()


def fetch_files(
    entries: Sequence[Entry], folder: Path, place: str, progress: bool, sizes: Mapping[str, int] | None = None
) -> None:
    """Fetches files into a folder, several at once.

    Args:
      entries: the files.
      folder: to write into; made where it is missing.
      place: they come from.
      progress: whether to draw a bar.
      sizes: of the files in bytes, where they are known beforehand.

    Raises:
      BundleError: one is not there, or they are more than a bundle may have.
      UnreachableError: the place does not answer, or a file ends early.
    """
    from tqdm import tqdm

    if len(entries) > MAX_FILES or not all(is_inside(entry.name) for entry in entries):
        raise BundleError(f"{place} has too many files for a bundle, or some outside its folder; give a bundle.")
    total, allowance = sum(sizes.values()) if sizes else None, Allowance(place)
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=place, disable=not progress, leave=False)

    def fetch(entry: Entry) -> None:
        with contextlib.ExitStack() as stack:
            with reaching(place):
                opened = stack.enter_context(entry.open())
            expected = sizes[entry.name] if sizes else _announced_bytes(opened)
            if not sizes and expected and len(entries) == 1:
                bar.reset(expected)

            def read(count: int) -> bytes:
                with reaching(place):
                    block = opened.read(count)
                bar.update(len(block))
                return block

            size = write_file(read, folder / entry.name, allowance)
            if expected is not None and size != expected:
                raise UnreachableError(f"{entry.name} ended after {size} of {expected} bytes")

    with bar, ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(fetch, entry) for entry in entries]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _announced_bytes(opened: Any) -> int | None:
    """How many bytes a web server said that it would send."""
    headers = getattr(opened, "headers", None)
    length = headers.get("Content-Length") if headers else None
    return int(length) if length and length.isdigit() else None
