"""The `evc` command. JAX is imported only once the arguments are known to be right, so that help is instant."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from evc_jax.arguments import FAILED, build_parser
from evc_jax.bundle import NETWORKS, Bundle, load_bundle
from evc_jax.errors import EvcError
from evc_jax.wishes import Wishes

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 all done, 2 something the user can mend, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        return _COMMANDS[arguments.command](arguments)
    except EvcError as error:
        print(f"evc {arguments.command}: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"evc {arguments.command}: {error}.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"evc {arguments.command}: interrupted.", file=sys.stderr)
        return INTERRUPTED


def _convert(arguments: argparse.Namespace) -> int:
    from evc_jax import jobs

    wishes = Wishes(
        arguments.emotion,
        arguments.strength,
        arguments.voice,
        arguments.seed,
        arguments.vocoder,
        arguments.sigma,
    )
    planned = jobs.plan(arguments.inputs, arguments.output, arguments.voice)
    bundle = load_bundle(arguments.bundle)
    wishes.check(bundle)
    converter = _converter(bundle)
    # A reference that cannot be used is one error, not one per input.
    converter.voices.resolve(wishes.voice, wishes.seed)
    outcomes = jobs.run(planned, converter, wishes, _draw if arguments.plot else None)
    return _report(outcomes, len(planned))


def _report(outcomes, total: int) -> int:
    from tqdm import tqdm

    failed = 0
    bar = tqdm(outcomes, total=total, unit="recording", leave=False, disable=total < 2 or not sys.stderr.isatty())
    for outcome in bar:
        if outcome.error is None:
            line = f"{outcome.job.output}: {outcome.duration_s:.1f} s of sound in {outcome.seconds:.1f} s"
            bar.write(line, file=sys.stdout)
        else:
            failed += 1
            bar.write(f"evc convert: {outcome.error}", file=sys.stderr)
    if failed and total > 1:
        print(f"evc convert: {failed} of {total} recordings could not be converted.", file=sys.stderr)
    return FAILED if failed else 0


def _draw(job, result) -> None:
    from evc_jax.plotting import draw_conversion

    draw_conversion(job.output.with_suffix(".png"), result, job.output.stem)


def _voices(arguments: argparse.Namespace) -> int:
    bundle = load_bundle(arguments.bundle)
    bundle.require("voicegan")
    voices = _converter(bundle).sample_voices(arguments.number, arguments.sex, arguments.seed)

    from evc_jax.voices import write_voices

    names = [f"{arguments.sex}-{arguments.seed}-{i}" for i in range(len(voices))]
    for file in write_voices(arguments.output, names, voices):
        print(file)
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from evc_jax.data.builder import prepare

    report = prepare(
        arguments.corpus,
        arguments.path,
        arguments.output,
        dataset_name=arguments.name,
        embedder=arguments.embedder,
        workers=arguments.workers,
        progress=sys.stderr.isatty(),
    )
    print(report)
    return 0


def _bundle(arguments: argparse.Namespace) -> int:
    from evc_jax import assembly

    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns of metadata that nobody needs
    workdirs = {name: getattr(arguments, name) for name in NETWORKS if getattr(arguments, name)}
    datasets = tuple(name for name in (arguments.datasets or "").split(",") if name)
    description = assembly.assemble(
        workdirs,
        arguments.output,
        data_dir=arguments.data,
        datasets=datasets,
        licence=arguments.licence,
        storage_dtype=arguments.storage,
    )
    print(f"{arguments.output}: {', '.join(description['networks'])}; default vocoder {description['default_vocoder']}")
    for key, value in description["evaluation"].items():
        print(f"  {key}: {value}")
    return 0


def _converter(bundle: Bundle):
    # Orbax and XLA say things that are of no use to somebody who converts a recording.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from evc_jax.compilation import enable_cache
    from evc_jax.conversion import Converter

    enable_cache()
    return Converter(bundle)


_COMMANDS = {"convert": _convert, "voices": _voices, "prepare": _prepare, "bundle": _bundle}

if __name__ == "__main__":
    sys.exit(main())
