"""JAX's persistent compilation cache, so that only a machine's first conversion waits for the compiler."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import warnings
from pathlib import Path

CACHE_VARIABLE = "EVC_CACHE_DIR"
_DAMAGED = "Error reading persistent compilation cache entry for "


def cache_root() -> Path | None:
    """$EVC_CACHE_DIR, else `evc_jax` in the user's cache folder; None where there is none."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "evc_jax"
    try:
        return Path.home() / ".cache" / "evc_jax"
    except RuntimeError:  # no home directory
        return None


def cache_dir() -> Path | None:
    """Where compiled programs are kept, in `cache_root`.

    Programs are compiled for one processor, and a home directory may be shared by several kinds: each has its folder.
    """
    root = cache_root()
    return None if root is None else root / "compiled" / hashlib.sha256(_processor().encode()).hexdigest()[:12]


def enable_cache() -> None:
    """Turns the cache on; without a place to write, or where the user configured JAX's own, that is left as it is."""
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = cache_dir()
        if folder is None:
            return
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    _replace_damaged_entries()


@functools.cache
def memory_first() -> dict[str, str]:
    """Options for `jax.jit` that have XLA's CPU backend schedule for little memory rather than for many things at once.

    Of worth where each operation fills all cores by itself. Empty on other devices, and where XLA lacks the option.
    """
    import jax

    options = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


@functools.cache
def _replace_damaged_entries() -> None:
    """Removes an entry that cannot be read, so that JAX writes it anew.

    JAX writes entries in place, so that a kill leaves half of one; from then on it warns, compiles, and never
    overwrites what is there. Its warning, which comes before it writes, names the program but not the entry: all
    entries of programs of that name are removed.
    """
    show = warnings.showwarning

    def show_or_remove(message, category, filename, lineno, file=None, line=None):
        program = re.match(f"{_DAMAGED}'(.+?)'", str(message))
        if program:
            _remove_entries(program[1])
        else:
            show(message, category, filename, lineno, file, line)

    warnings.filterwarnings("always", message=_DAMAGED)
    warnings.showwarning = show_or_remove


def _remove_entries(program: str) -> None:
    import jax
    from etils import epath

    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    with contextlib.suppress(OSError):  # it may be someone else's
        for entry in epath.Path(folder).iterdir():
            if entry.name.startswith(f"{program}-"):
                entry.unlink(missing_ok=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = platform.processor()
    return f"{platform.system()} {platform.machine()} {flags}"
