"""Fixtures shared by all tests: where the golden vectors and the real recordings are, if they are there at all."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Set before anything imports JAX: eight simulated devices prove data parallelism on any machine.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import pytest  # noqa: E402
import support.typechecker  # noqa: E402, F401
from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("evc_jax", "support.typechecker.typecheck")

SHARED = Path(os.environ.get("EVC_SHARED", ROOT.parent / "shared"))


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; set EVC_SHARED to the folder that holds {name}/")
    return folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Golden vectors computed with the original PyTorch implementation."""
    return _folder("golden")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real recordings in the layouts of their corpora."""
    return _folder("data")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory) -> Path:
    """A bundle directory with every network that converts."""
    from support.tiny_bundles import write_bundle

    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
