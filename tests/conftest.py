"""Fixtures shared by all tests: where the golden vectors and the real recordings are, if they are there at all."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Set before anything imports JAX: eight simulated devices prove data parallelism on any machine, and what one test
# process has compiled, the others and the programs that tests start read from disk.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

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
    from support.tiny_bundles import tiny_speakers, write_bundle

    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny", speakers=tiny_speakers())


@pytest.fixture(scope="module")
def quick_programs():
    """Programs of the module are compiled without optimization: twice as fast, where they run for a few small steps."""
    from support.tiny_systems import quick_compilation

    with quick_compilation():
        yield


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium, whose microphone hears the recording that the package ships.

    Not of the session: while it is open, an event loop runs in this thread, and `asyncio.run` is an error.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium; apt-get install chromium")
    arguments = [
        "--no-sandbox",
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={ROOT}/evc_jax/assets/demo.wav",
    ]
    playwright.expect.set_options(timeout=20_000)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process starts the longest one when the others have finished."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)
