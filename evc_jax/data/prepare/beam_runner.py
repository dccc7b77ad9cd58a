"""The runner of a preparation on Apache Beam: the functions and files are those of the local runner.

Elements are shards of the plan or parts of the speakers; recordings and features are read and written as files. Each
call is a pipeline, and the driver holds nothing but the plan.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath
from threadpoolctl import threadpool_limits

from evc_jax.data.prepare.local_runner import BEAM_RUNNERS, LOCAL, WORKER_ENVIRONMENT, Runner, environment
from evc_jax.data.prepare.storage import is_remote
from evc_jax.errors import DataError

# The part of DirectRunner that does not need Prism, a program that it would download first.
_DIRECT_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def beam_runner(name: str, options: str, places: Sequence[epath.PathLike]) -> Runner:
    """A runner by name, one of `BEAM_RUNNERS`; `places` are the folders that workers read and write.

    Raises:
      DataError: there is no such runner, its workers do not see the folders, or Beam refuses the options.
    """
    if name not in BEAM_RUNNERS:
        raise DataError(f"There is no runner {name!r}; choose {LOCAL}, {', '.join(BEAM_RUNNERS)}.")
    local = [os.fspath(place) for place in places if not is_remote(place)]
    if name == "DataflowRunner" and local:
        raise DataError(f"Dataflow's workers do not see {local[0]}; give folders in a bucket (gs://...).")
    # It prints the tracebacks of errors that `run` raises as one sentence.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    parsed = _parsed(options, _DIRECT_RUNNER if name == "DirectRunner" else name)

    def run(function: Callable[[Any], None], items: Sequence[Any], done: int, label: str) -> None:
        # Also for workers that are threads or children of this process.
        with environment(WORKER_ENVIRONMENT):
            try:
                with beam.Pipeline(options=parsed) as pipeline:
                    # Without reshuffling a runner keeps all that one source gives on one worker.
                    elements = pipeline | "Items" >> beam.Create(items) | "Distribute" >> beam.Reshuffle()
                    elements | f"Write {label}" >> beam.Map(_call, function)
            except Exception as error:  # each runner has errors of its own
                reason = str(error).strip().splitlines() or [type(error).__name__]
                raise DataError(
                    f"The {name} pipeline failed ({reason[-1].rstrip('.')}); what is finished is kept, so mend it and "
                    "run the same command again."
                ) from error

    return run


def _parsed(options: str, runner: str) -> PipelineOptions:
    # Beam parses with argparse, which prints its usage and ends the process: Beam offers no other way to get the error.
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        try:
            parsed = PipelineOptions([*shlex.split(options), f"--runner={runner}"])
            parsed.get_all_options()
        except (SystemExit, ValueError) as error:
            reason = (printed.getvalue().strip() or str(error)).splitlines()[-1].split("error: ")[-1]
            raise DataError(f"Beam's options are {options!r}, which Beam refuses ({reason}); mend them.") from error
    return parsed


def _call(item: Any, function: Callable[[Any], None]) -> None:
    # One thread per worker, as in the local runner's processes: JAX reads these when it is first used; the libraries
    # behind NumPy have started already.
    os.environ.update(WORKER_ENVIRONMENT)
    with threadpool_limits(1):
        function(item)
