"""Which emotions a training converts between, where its config leaves that open."""

from __future__ import annotations

import dataclasses

from etils import epath

from evc_jax.data.dataset import open_split
from evc_jax.data.requirements import emotions_of
from evc_jax.errors import ConfigError
from evc_jax.pretrained.start import known_emotions
from evc_jax.pretrained.workdir import CHECKPOINTS, read_item, saved_steps
from evc_jax.training.config import DataConfig, TrainConfig


def with_emotions(config: TrainConfig, workdir: epath.Path) -> tuple[TrainConfig, str]:
    """The config with `options.emotions` filled in where they are empty, and a sentence on where they come from.

    They are those of the training that is resumed, else of the network that it starts with, else those that the
    training splits have. The sentence is empty for a system without emotions, and where they were named.

    Raises:
      ConfigError: the network that it starts with knows others than those that were named.
      DataError: the data has fewer than two.
      BundleError, CheckpointError: there is no such network.
    """
    if "emotions" not in config.options:
        return config, ""
    named, source = tuple(config.options["emotions"]), "those of this training"
    found = _of_training(workdir)
    if not found and config.init_from:
        found, source = known_emotions(config.init_from, config.system), f"those of {config.init_from}"
        if found and named and found != named:
            raise ConfigError(
                f"config.options.emotions is {','.join(named)} and the {config.system} of {config.init_from} knows "
                f"{','.join(found)}; leave config.options.emotions empty to go on with these, whatever the data has of "
                "them, or start without config.init_from."
            )
    if named:
        return config, ""
    if not found:
        found, source = emotions_of_data(config.data), f"those of {', '.join(config.data.datasets)}"
    options = {**config.options, "emotions": list(found)}
    return dataclasses.replace(config, options=options), f"emotions: {', '.join(found)} ({source})"


def emotions_of_data(data: DataConfig) -> tuple[str, ...]:
    """The emotions that the training splits have, in the order of the vocabulary.

    Raises:
      DataError: there are fewer than two.
    """
    source = open_split(data.data_dir, data.datasets, "train", ("emotion",), cache_bytes=0)
    labels = (source[i]["emotion"] for i in range(len(source)))
    return emotions_of(labels, f"The train split of {', '.join(data.datasets)}")


def _of_training(workdir: epath.Path) -> tuple[str, ...]:
    """Those of the newest checkpoint that can be read."""
    for step in reversed(saved_steps(workdir)):
        try:
            config = read_item(workdir / CHECKPOINTS / str(step), "description")["config"]
        except (OSError, ValueError, LookupError):  # damaged, which `Checkpoints.restore` deals with
            continue
        return tuple(config.get("options", {}).get("emotions", ()))
    return ()
