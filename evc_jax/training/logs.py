"""Messages of the libraries on standard error: what the user asks for, and nothing else."""

from __future__ import annotations

import logging
import os

LEVELS = ("error", "warning", "info", "debug")


def set_verbosity(level: str) -> None:
    """Sets what is shown of the messages of JAX, and of Orbax and grain, which log by way of absl.

    JAX's are shown from `level` on. Those of Orbax and grain need at least "info": what they log as an error is the
    traceback of an exception that ends in one sentence. To be called before JAX is imported, which reads its own
    variables then; where the user has set JAX_LOGGING_LEVEL, that is left as it is.
    """
    number = getattr(logging, level.upper())
    if level != "warning":  # which is JAX's own default
        os.environ.setdefault("JAX_LOGGING_LEVEL", level.upper())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("{levelname}:{asctime}:{name}:{lineno}: {message}", style="{"))
    handler.addFilter(_is_unprinted)
    logging.basicConfig(handlers=[handler], force=True)
    absl = logging.getLogger("absl")
    absl.setLevel(number)
    absl.addFilter(lambda record: number < logging.WARNING)


def _is_unprinted(record: logging.LogRecord) -> bool:
    """Whether no handler nearer to the message prints it; JAX has some of its own for what its variables ask for."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger and logger is not logging.root:
        if any(record.levelno >= handler.level and handler.filter(record) for handler in logger.handlers):
            return False
        logger = logger.parent
    return True
