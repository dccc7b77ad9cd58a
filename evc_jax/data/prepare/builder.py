"""From a corpus to a complete dataset: plan, extraction, speaker statistics, shards, put in place at once.

Every step leaves files that are whole and named after what they were made from, in a work folder beside the result. A
run that finds some of them does not make them again, however the one before it ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from evc_jax.audio.config import AudioConfig
from evc_jax.config import from_mapping, to_mapping
from evc_jax.data.corpora import CORPORA
from evc_jax.data.corpora.recording import SPLITS
from evc_jax.data.dataset import SPEAKERS_FILE, dataset_path
from evc_jax.data.encoding import Storage
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.advice import advice
from evc_jax.data.prepare.excerpt import take_excerpt
from evc_jax.data.prepare.extract import (
    FEATURES_FOLDER,
    Failure,
    Results,
    extract_shard,
    features_file,
    gather_results,
)
from evc_jax.data.prepare.listing import list_corpus
from evc_jax.data.prepare.local_runner import LOCAL, Runner
from evc_jax.data.prepare.plan import PLAN_FILE, Plan, WorkShard, embedder_name, settings_fingerprint, write_plan
from evc_jax.data.prepare.splits import SplitRules
from evc_jax.errors import DataError, one_line
from evc_jax.files import printable

# No reader takes a folder without it for a dataset; in a bucket it is written last.
_DESCRIPTION_FILE = "metadata.json"
_METADATA_FORMAT = 1
_DATASET_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclasses.dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
      passed_over: lines on what else is in the corpus's folder: recordings of formats that are not read, or that its
        layout does not use, broken links, folders without permission.
      notes: sentences on how it was split, and on what trainings will miss.
    """

    dataset: str
    path: epath.Path
    counts: dict[str, int]  # utterances per split
    failures: tuple[Failure, ...]
    passed_over: tuple[str, ...]
    notes: tuple[str, ...]
    found: int  # recordings that an earlier run had already gone through
    seconds: float

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        place, failed = printable(self.path), [f"unusable: {f.utterance_id}: {f.reason}" for f in self.failures]
        head = f"{self.dataset}: {counts} in {self.seconds:.0f} s, {len(failed)} unusable -> {place}"
        return "\n  ".join((head, *failed, *self.passed_over, *self.notes))


def prepare(
    name: str,
    source: str | Path,
    out_dir: str | Path,
    *,
    dataset_name: str | None = None,
    config: AudioConfig | None = None,
    embedder: str | Callable[[np.ndarray], np.ndarray] = "jax",
    mel_storage: str = "float16",
    audio_storage: str = "flac",
    max_seconds: float | None = None,
    splits: SplitRules | None = None,
    workers: int | None = None,
    progress: bool = True,
    runner: str = LOCAL,
    beam_options: str = "",
    log: Callable[[str], None] | None = None,
) -> PrepareReport:
    """Extracts a corpus and writes it as the TFDS dataset `speech/<dataset_name>` in `out_dir`.

    The dataset appears complete or not at all: an existing one of the same name stays until the new one is written.
    The same input gives the same bytes, whatever the runner, the number of workers, and however often it was stopped
    on the way: what is finished is kept in `out_dir/.prepare-<dataset_name>` until the dataset is complete.

    Args:
      name: corpus layout, a key of `corpora.CORPORA`.
      source: the corpus's folder (for "manifest" the CSV file), local or in a bucket (gs://...).
      out_dir: where datasets are collected, local or in a bucket.
      dataset_name: name of the dataset and prefix of its speakers; the corpus's name if None.
      config: audio settings; the default ones if None.
      embedder: "jax", "resemblyzer", or a function [S] -> [256] that another process can import.
      mel_storage, audio_storage: how the dataset stores them, see `encoding.Storage`; readers see no difference.
      splits: how the corpus is split where it does not say so itself; see `splits.assign_splits`.
      max_seconds: of an excerpt, see `excerpt.take_excerpt`; the whole corpus if None.
      workers: processes of the local runner; all cores if None.
      progress: whether the local runner draws a progress bar.
      runner: "local", or the name of one of Apache Beam's runners.
      beam_options: options for Apache Beam, as on a command line.
      log: called with a sentence on the excerpt, and on what was found of an earlier run.

    Raises:
      DataError: the corpus cannot be read, more than 5 % of it is unusable, a name or value is not usable, or work
        cannot be handed out.
    """
    start = time.monotonic()
    dataset, config, form = dataset_name or name, config or AudioConfig(), Storage(mel_storage, audio_storage)
    if not _DATASET_NAME.fullmatch(dataset):
        raise DataError(f"The dataset name {dataset!r} is not usable; use letters, digits, hyphens and underscores.")
    storage.check_reachable(source)
    storage.check_reachable(out_dir)
    listing = list_corpus(name, source, dataset, splits)
    utterances = listing.utterances
    if max_seconds is not None:
        utterances = take_excerpt(utterances, max_seconds, config.sample_rate_hz, log)
    target = dataset_path(out_dir, dataset)
    with (
        _disk_errors(out_dir),
        _work_folder(epath.Path(out_dir), dataset) as work,
        _started(runner, workers, progress, beam_options, (source, out_dir)) as started,
    ):
        plan = write_plan(work, utterances, settings_fingerprint(config, embedder))
        extract = functools.partial(extract_shard, work=str(work), root=listing.root, config=config, embedder=embedder)
        found = _extract(work, plan, extract, started, log)
        results = gather_results(plan, utterances, work, source)
        metadata = _describe(name, config, embedder, results)
        metadata |= {"storage": to_mapping(form), "max_seconds": max_seconds and float(max_seconds)}
        metadata["split_by"] = listing.split_by
        new = _write(work, plan, results.counts, started, dataset, metadata)
        replaced = epath.Path(target, _DESCRIPTION_FILE).exists()
        storage.put_in_place(new, target, work / "old", _DESCRIPTION_FILE)
    seconds = time.monotonic() - start
    there = ("it is in place of the dataset of that name that was there",) if replaced else ()
    notes = (*there, *listing.notes, *advice(dataset, results.usable, results.frames, config))
    failures = tuple(results.failures)
    return PrepareReport(dataset, target, metadata["counts"], failures, listing.passed_over, notes, found, seconds)


@contextlib.contextmanager
def _disk_errors(out_dir: str | Path) -> Iterator[None]:
    """Turns the system's errors into one on the output: those of recordings and metadata files do not get here."""
    try:
        yield
    except OSError as error:
        place, reason = printable(error.filename or out_dir), error.strerror or one_line(error)
        raise DataError(
            f"{place} cannot be written ({reason}); make room or give another output folder, and run the command "
            "again: what is finished is kept."
        ) from error


@contextlib.contextmanager
def _started(
    runner: str, workers: int | None, progress: bool, beam_options: str, places: Sequence[str | Path]
) -> Iterator[Runner]:
    if runner == LOCAL:
        from evc_jax.data.prepare.local_runner import local_runner

        if beam_options:
            raise DataError(f"Beam's options {beam_options!r} are given without a Beam runner; name one, too.")
        with local_runner(workers, progress) as started:
            yield started
        return
    try:
        from evc_jax.data.prepare.beam_runner import beam_runner
    except ImportError as error:
        raise DataError(f"{runner} needs Apache Beam ({error}); pip install 'evc_jax[beam]'.") from error
    if workers:
        raise DataError(f"A number of workers was given to {runner}; give it in Beam's options instead.")
    yield beam_runner(runner, beam_options, places)


@contextlib.contextmanager
def _work_folder(out_dir: epath.Path, dataset: str) -> Iterator[epath.Path]:
    """A folder beside the result, so that moving it into place is a rename; removed once the dataset is there."""
    work = out_dir / f".prepare-{dataset}"
    storage.make_folder(work / FEATURES_FOLDER)
    busy = f"Dataset {dataset} is being prepared in {printable(out_dir)} by another process; wait."
    with storage.locked(work, busy):
        storage.undo_interrupted_move(dataset_path(out_dir, dataset), work / "old")
        storage.remove_unfinished(work)
        try:
            yield work
        except BaseException:
            storage.remove_unfinished(work)
            if not storage.file_names(work / FEATURES_FOLDER):
                storage.remove_folder(work)
            raise
        storage.remove_folder(work)


def _extract(
    work: epath.Path,
    plan: Plan,
    extract: Callable[[WorkShard], None],
    runner: Runner,
    log: Callable[[str], None] | None,
) -> int:
    """Extracts the shards that are not finished; returns how many utterances are in the others."""
    folder = work / FEATURES_FOLDER
    names = storage.file_names(folder)
    files = {features_file(work, shard).name: shard for shard in plan.shards}
    # Of other recordings or settings.
    storage.all_at_once(lambda name: (folder / name).unlink(), names - set(files))
    pending = [shard for name, shard in files.items() if name not in names]
    total = sum(shard.utterances for shard in plan.shards)
    found = total - sum(shard.utterances for shard in pending)
    if found and log:
        shards = f"{len(files) - len(pending)} of {len(files)} shards"
        log(f"{found} of {total} recordings were extracted by an earlier run and are kept ({shards}).")
    if pending:
        runner(extract, pending, found, "features")
    return found


def _describe(
    corpus: str,
    config: AudioConfig,
    embedder: str | Callable,
    results: Results,
) -> dict[str, Any]:
    """The dataset's metadata."""
    utterances = results.usable
    splits = Counter(utterance.split for utterance in utterances)
    return {
        "format": _METADATA_FORMAT,
        "corpus": corpus,
        "licence": CORPORA[corpus].licence,
        "audio": to_mapping(config),
        "embedder": embedder_name(embedder),
        "counts": {split: splits[split] for split in SPLITS if splits[split]},
        "emotions": dict(sorted(Counter(utterance.emotion for utterance in utterances).items())),
        "speakers": len({utterance.speaker for utterance in utterances}),
        "failures": [dataclasses.asdict(failure) for failure in results.failures],
        "digest": results.digest,
    }


def _write(
    work: epath.Path, plan: Plan, counts: Sequence[int], runner: Runner, dataset: str, metadata: dict[str, Any]
) -> epath.Path:
    """Writes all of the dataset into a folder of the work folder, with what an earlier run has written of it."""
    from evc_jax.data.prepare import tfds_writer

    digest = hashlib.sha256(json.dumps([plan.digest, dataset, metadata]).encode()).hexdigest()[:32]
    speakers, new = (work / f"{kind}-{digest}" for kind in ("speakers", "new"))
    for name in storage.file_names(work) - {FEATURES_FOLDER, PLAN_FILE, speakers.name, new.name}:
        storage.remove_folder(work / name)
    table = _pool_speakers(work, plan, runner, storage.make_folder(speakers))
    shards = tfds_writer.output_shards(plan.shards, counts)
    written = storage.file_names(storage.make_folder(new))
    pending = [shard for shard in shards if tfds_writer.shard_file(new, shard).name not in written]
    if pending:
        write = functools.partial(
            tfds_writer.write_shard,
            work=str(work),
            folder=str(new),
            speakers=str(table),
            config=from_mapping(AudioConfig, metadata["audio"]),
            form=Storage(**metadata["storage"]),
        )
        done = sum(shard.utterances for shard in shards) - sum(shard.utterances for shard in pending)
        runner(write, pending, done, "dataset")
    table.copy(new / SPEAKERS_FILE, overwrite=True)
    tfds_writer.write_description(new, dataset, shards, metadata)
    return new


def _pool_speakers(work: epath.Path, plan: Plan, runner: Runner, folder: epath.Path) -> epath.Path:
    """Writes the table of speakers into the folder; returns its file."""
    from evc_jax.data.prepare.speaker_stats import join_parts, speaker_parts, write_part

    table = folder / SPEAKERS_FILE
    if not table.exists():
        folder = storage.make_folder(folder / "parts")
        write = functools.partial(write_part, work=str(work), folder=str(folder), shards=plan.shards)
        parts = speaker_parts(sum(shard.utterances for shard in plan.shards))
        runner(write, [part for part in parts if not (folder / part.file_name).exists()], 0, "speakers")
        join_parts(folder, table)
    return table
