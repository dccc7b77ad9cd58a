"""The package's extras: libraries that only some commands need. Imports nothing slow."""

from __future__ import annotations

import importlib.util

from evc_jax.errors import ConfigError

# Per extra of setup.cfg the modules that its packages bring, without which nothing of it works. What else an extra has
# makes something better or is asked for by these.
MODULES = {
    "train": ("grain", "importlib_resources", "ml_collections", "tensorboardX", "tensorflow_datasets"),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "fastapi_swagger"),
    "hub": ("huggingface_hub",),
    "studio": ("gradio", "fastapi", "uvicorn"),
}


def require_extra(extra: str, what: str) -> None:
    """Raises ConfigError unless the packages of an extra are installed; `what` needs them, for the message."""
    if missing := missing_modules(extra):
        raise ConfigError(f"{what} needs {', '.join(missing)}; run `pip install 'evc_jax[{extra}]'`.")


def missing_modules(extra: str) -> list[str]:
    """Those modules of an extra that are not installed."""
    return [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]
