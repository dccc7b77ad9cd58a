"""Limits, help and missing packages, before anything slow is loaded."""

import subprocess
import sys

import pytest

from evc_jax.cli.commands import main
from evc_jax.errors import ConfigError
from evc_jax.serving.settings import ServerSettings


@pytest.mark.parametrize("name, value", [("queue", 0), ("max_batch", 17), ("timeout_s", float("nan")), ("workers", -1)])
def test_limits(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value:g}; give a number from"):
        ServerSettings(**{name: value})


def test_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    text = capsys.readouterr().out
    assert "curl -F recording=@hello.wav" in text and "--batch-wait-ms" in text and "--timeout N" in text


def test_without_the_extra():
    """Everything else imports, and the message names what to install."""
    code = """
import sys

ABSENT = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "starlette")
sys.modules.update(dict.fromkeys(ABSENT))
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ABSENT else real(name)
import evc_jax.conversion.converter, evc_jax.serving.recordings, evc_jax.cli.commands
sys.exit(evc_jax.cli.commands.main(["serve"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'evc_jax[serve]'" in done.stderr and len(done.stderr.splitlines()) == 1
