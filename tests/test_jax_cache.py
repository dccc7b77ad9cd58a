"""Where compiled programs are kept, and how they are scheduled."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from evc_jax import jax_cache


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("EVC_CACHE_DIR", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_environment_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert tmp_path / "xdg" / "evc_jax" in jax_cache.cache_dir().parents
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path / "mine"))
    assert tmp_path / "mine" in jax_cache.cache_dir().parents


def test_default_is_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / ".cache" / "evc_jax" in jax_cache.cache_dir().parents


def test_no_home_directory_means_no_cache(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert jax_cache.cache_dir() is None
    jax_cache.enable_cache()


def test_enabling_makes_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path))
    jax_cache.enable_cache()
    assert jax.config.jax_compilation_cache_dir == str(jax_cache.cache_dir())
    assert jax_cache.cache_dir().is_dir()


def test_a_place_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path / "file"))
    before = jax.config.jax_compilation_cache_dir
    jax_cache.enable_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_other_devices_and_versions_schedule_as_they_like(monkeypatch):
    jax_cache.memory_first.cache_clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert jax_cache.memory_first() == {}
    monkeypatch.undo()
    jax_cache.memory_first.cache_clear()

    def refuse(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("No such compile option")

    with monkeypatch.context() as patch:
        patch.setattr(jax, "jit", refuse)
        assert jax_cache.memory_first() == {}
    jax_cache.memory_first.cache_clear()


PROGRAM = """
from evc_jax.jax_cache import enable_cache
import jax, jax.numpy as jnp
enable_cache()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
def program(x):
    return jnp.sin(x).sum()
print(jax.jit(program)(jnp.ones(8)))
"""


def _run(folder):
    environment = {**os.environ, "EVC_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def test_an_entry_that_was_cut_off_is_replaced_without_a_warning(tmp_path):
    expected = _run(tmp_path).stdout
    (entry,) = tmp_path.glob("compiled/*/jit_program-*-cache")
    whole = entry.stat().st_size
    for size in (whole // 2, 0):
        os.truncate(entry, size)
        done = _run(tmp_path)
        assert done.stdout == expected and "cache entry" not in done.stderr
        assert entry.stat().st_size == whole
