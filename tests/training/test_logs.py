"""Messages of the libraries: JAX's where they are asked for, Orbax's only then."""

import subprocess
import sys

import pytest

# What libraries do when a training imports JAX after the level is set; one of them may install absl's handler.
PROGRAM = """
import sys
from evc_jax.training.logs import set_verbosity
set_verbosity(sys.argv[1])
from absl import logging as absl
if "absl" in sys.argv:
    absl.use_absl_handler()
import jax, logging
jax.jit(lambda x: x + 1).lower(1).compile()
for level in ("debug", "info", "warning", "error"):
    getattr(logging.getLogger("jax._src.test"), level)(f"jax-{level}-end")
    getattr(absl, level)(f"orbax-{level}-end")
    getattr(logging.getLogger("jax._src.compiler"), level)(f"compiler-{level}-end")
"""
LEVELS = ("debug", "info", "warning", "error")


def shown(level, *words, **variables):
    environment = {"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu", "PYTHONPATH": ":".join(sys.path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, level, *words], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def levels(output, source):
    """Which levels a source shows, each as often as it is printed."""
    return [level for level in LEVELS for _ in range(output.count(f"{source}-{level}-end"))]


@pytest.mark.parametrize(
    "level, jax, orbax",
    [
        ("error", ["error"], []),
        ("warning", ["warning", "error"], []),
        ("info", ["info", "warning", "error"], ["info", "warning", "error"]),
        ("debug", [*LEVELS], [*LEVELS]),
    ],
)
def test_each_level_shows_what_it_says_once(level, jax, orbax):
    output = shown(level)
    assert "Compiling" not in output or level == "debug"
    assert (levels(output, "jax"), levels(output, "orbax")) == (jax, orbax)


@pytest.mark.parametrize("words", [(), ("absl",)])
def test_compilations_that_are_asked_for_are_shown(words):
    output = shown("warning", *words, JAX_LOG_COMPILES="1")
    assert "Compiling jit(<lambda>)" in output and levels(output, "orbax") == []


def test_modules_that_are_asked_for_are_shown_once():
    output = shown("warning", JAX_DEBUG_LOG_MODULES="jax._src.compiler")
    assert levels(output, "compiler") == [*LEVELS]
    assert levels(output, "jax") == ["warning", "error"] and levels(output, "orbax") == []


def test_the_level_of_jaxs_own_variable_counts():
    assert levels(shown("debug", JAX_LOGGING_LEVEL="ERROR"), "jax") == ["error"]
