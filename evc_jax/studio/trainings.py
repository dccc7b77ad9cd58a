"""Trainings of the studio: its datasets, configs and work directories; starting, stopping, resuming and bundling.

A training is a process of its own, that of the command line, and outlives the studio. Whatever is known of it is read
from its work directory, so that it does not matter who started it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evc_jax.config import to_mapping
from evc_jax.data.dataset import BUILDER_NAME, audio_config, dataset_path
from evc_jax.errors import ConfigError, EvcError, TrainingError
from evc_jax.files import atomic_file
from evc_jax.pretrained.bundle import EMBEDDED
from evc_jax.pretrained.description import DESCRIPTION_FILE
from evc_jax.studio.work_directory import LOG, WorkDirectory, is_work_directory
from evc_jax.training.config import CONFIGS, TrainConfig, config_variants
from evc_jax.training.run_process import note_process
from evc_jax.training.settings import key_types, load_settings

NAME = re.compile(r"\w[\w.-]{0,63}")
STOP_LIMIT_S, _POLL_S = 60.0, 0.1
# `/a/b/c`, but neither `a/b`, `gs://a/b` nor `</a>`.
_ABSOLUTE_PATH = re.compile(r"(?<![\w./:<~-])/(?:[^\s/'\"<>:;,()]+/)+")


class Trainings:
    """The folders of datasets, work directories and configs. No error names where on the machine they lie."""

    def __init__(self, data_dir: str | os.PathLike, runs_dir: str | os.PathLike, configs_dir: str | os.PathLike = ""):
        """Names the folders; without one of configs it is the package's."""
        self.data_dir, self.runs_dir = Path(data_dir), Path(runs_dir)
        self._configs_dir = Path(configs_dir) if configs_dir else CONFIGS
        self._children: list[subprocess.Popen] = []
        self._starting = threading.Lock()

    @property
    def runs_name(self) -> str:
        """The name of the folder of work directories."""
        return _name(self.runs_dir)

    def datasets(self) -> list[str]:
        """Names of the prepared datasets."""
        folder = self.data_dir / BUILDER_NAME
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [name for name in names if (dataset_path(self.data_dir, name) / "metadata.json").is_file()]

    @functools.cached_property
    def configs(self) -> tuple[str, ...]:
        """The configs with their variants, such as "codegan.py:small", as the command line takes them.

        Raises:
          ConfigError: there are none, or one of them cannot be run.
        """
        with self._without_paths():
            files = sorted(self._configs_dir.glob("[!_.]*.py"))
            if not files:
                raise ConfigError("There are no configs in the folder that --configs names; give another.")
            return tuple(f"{file.name}:{variant}".rstrip(":") for file in files for variant in config_variants(file))

    def runs(self) -> dict[str, WorkDirectory]:
        """The work directories by name, the newest starts first."""
        self._children = [child for child in self._children if child.poll() is None]
        folders = self.runs_dir.iterdir() if self.runs_dir.is_dir() else ()
        found = [WorkDirectory(folder) for folder in folders if is_work_directory(folder)]
        return {run.name: run for run in sorted(found, key=lambda run: (-run.started_s, run.name))}

    def run(self, name: str) -> WorkDirectory:
        """One work directory.

        Raises:
          ConfigError: there is none of this name.
        """
        runs = self.runs()
        if name not in runs:
            raise ConfigError(f"There is no training {name!r}; choose one of the list.")
        return runs[name]

    def start(self, name: str, config: str, datasets: Sequence[str], words: Sequence[str] = ()) -> None:
        """Starts a training in a new work directory.

        Args:
          name: of the work directory.
          config: one of `configs`.
          datasets: some of `datasets()`.
          words: further settings as on the command line, such as `--config.batch_size=8`. Where a key names a
            training or bundle, it is one of the runs folder, or "embedded".

        Raises:
          EvcError: any of these is wrong, or the name is taken.
        """
        with self._without_paths():
            settings = self._settings(config, datasets, words)
            workdir = self._new_folder(name)
            workdir.mkdir(parents=True)
            with atomic_file(workdir / "config.json") as beside:
                beside.write_text(json.dumps(to_mapping(settings), indent=2) + "\n")
            self._launch(workdir)

    def resume(self, name: str, words: Sequence[str] = ()) -> None:
        """Starts a training again from its newest checkpoint, with the settings it has, but for those of `words`.

        Raises:
          EvcError: it runs or is finished, or a setting is wrong.
        """
        with self._starting, self._without_paths():
            run = self.run(name)
            if run.process is not None:
                raise TrainingError(f"The training {name} runs already.")
            before = load_settings(str(run.path / "config.json"))
            settings = load_settings(str(run.path / "config.json"), words)
            origins = self._origins(settings, _origins_of(before)) if words else []
            if run.state == "finished" and not words:
                raise TrainingError(f"The training {name} is finished; give it more steps, as --config.steps=COUNT.")
            self._launch(run.path, [*words, *origins])

    def stop(self, name: str, limit_s: float = STOP_LIMIT_S) -> bool:
        """Asks a training to save and to end; whether it ended within the limit.

        Raises:
          TrainingError: it does not run.
        """
        with self._without_paths():
            run = self.run(name)
            process = run.process
            if process is None:
                raise TrainingError(f"The training {name} does not run.")
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
            end_s = time.monotonic() + limit_s
            while run.process == process and time.monotonic() < end_s:
                time.sleep(_POLL_S)
            return run.process != process

    def bundle(
        self,
        name: str,
        networks: Mapping[str, str],
        *,
        checkpoint: str = "last",
        base: str | os.PathLike | None = None,
    ) -> dict[str, Any]:
        """Writes a bundle into a new folder of the runs folder, as `evc bundle` does.

        Args:
          name: of that folder.
          networks: per network, of `pretrained.description.NETWORKS`, the name of a training.
          checkpoint: of each training, "last" or "best".
          base: a bundle that gives the other networks.

        Returns:
          The bundle's description.

        Raises:
          EvcError: a name is wrong, or the trainings do not belong together.
        """
        from evc_jax.training.export import export_bundle

        with self._without_paths():
            if not networks or not ("speechsplit" in networks or base):
                raise ConfigError("A bundle needs a SpeechSplit; choose its training, or the networks of this bundle.")
            workdirs = {network: str(self.run(run).path) for network, run in networks.items()}
            output = self._new_folder(name)
            data_dir = str(self.data_dir)
            return export_bundle(workdirs, output, checkpoint=checkpoint, data_dir=data_dir, base=base)

    def without_paths(self, text: str) -> str:
        """A text of a training or an error, in which no absolute path is left."""
        for folder in self.runs_dir, self.data_dir, self._configs_dir:
            for place in {os.path.abspath(folder), os.path.realpath(folder)}:
                text = text.replace(place, _name(folder))
        return _ABSOLUTE_PATH.sub("", text)

    def _settings(self, config: str, datasets: Sequence[str], words: Sequence[str]) -> TrainConfig:
        if config not in self.configs:
            raise ConfigError(f"There is no config {config!r}; choose one of the list.")
        unknown = sorted(set(datasets) - set(self.datasets()))
        if unknown or not datasets:
            raise ConfigError(f"The datasets are {', '.join(unknown) or 'none'}; choose prepared ones of the list.")
        data = [f"--config.data.data_dir={self.data_dir}", f"--config.data.datasets={','.join(datasets)}"]
        settings = load_settings(str(self._configs_dir / config), [*words, *data])
        audio_config(self.data_dir, datasets)  # which must be one for all of them
        origins = self._origins(settings)
        return load_settings(str(self._configs_dir / config), [*words, *data, *origins])

    def _origins(self, settings: TrainConfig, before: Mapping[str, str] | None = None) -> list[str]:
        """The settings that name another training or bundle, as words, with the runs folder before the names.

        `before` are those of a training that is resumed, which stay as they are.
        """
        words = []
        for key, origin in _origins_of(settings).items():
            if origin in ("", EMBEDDED, (before or {}).get(key)):
                continue
            path = self.runs_dir / Path(origin).name
            is_named = origin in (path.name, str(path), f"{self.runs_name}/{path.name}")
            if not is_named or not ((path / DESCRIPTION_FILE).is_file() or path.name in self.runs()):
                raise ConfigError(
                    f"config.{key} is {origin!r}; expected {EMBEDDED!r}, or the name of a training or bundle in "
                    f"{self.runs_name}: --config.{key}=NAME."
                )
            words.append(f"--config.{key}={path}")
        return words

    def _new_folder(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"The name is {name!r}; expected up to 64 letters, digits, dots, dashes and underscores, of which the "
                "first is a letter, a digit or an underscore."
            )
        folder = self.runs_dir / name
        if os.path.lexists(folder):
            raise ConfigError(f"There is a {name!r} already; give another name.")
        return folder

    def _launch(self, workdir: Path, words: Sequence[str] = ()) -> None:
        """Starts the command line's process, in a session of its own: it goes on when the studio ends."""
        command = [sys.executable, "-m", "evc_jax", "train", f"--workdir={workdir}"]
        with (workdir / LOG).open("ab") as log:
            child = subprocess.Popen(
                [*command, f"--config={workdir / 'config.json'}", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        note_process(workdir, child.pid)
        self._children.append(child)

    @contextlib.contextmanager
    def _without_paths(self) -> Iterator[None]:
        try:
            yield
        except EvcError as error:
            raise ConfigError(self.without_paths(str(error))) from error
        except OSError as error:
            place = self.without_paths(os.fsdecode(error.filename or "A folder"))
            raise TrainingError(f"{place} cannot be used ({error.strerror}); mend that and try again.") from error


def setting_words(text: str) -> list[str]:
    """The words of settings as they are typed on the command line; no shell reads them.

    Raises:
      ConfigError: a quotation has no end, or the datasets are among them.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"The further settings cannot be read ({error}); end every quotation.") from error
    if any(word.startswith("--config.data.data") for word in words):
        raise ConfigError("The datasets are chosen in their list; leave them out of the further settings.")
    return words


def _origins_of(settings: TrainConfig) -> dict[str, str]:
    origins = {"options.speechsplit": settings.options.get("speechsplit", ""), "init_from": settings.init_from}
    return {key: origin for key, origin in origins.items() if key in key_types(settings.system)}


def _name(folder: Path) -> str:
    return Path(os.path.abspath(folder)).name
