"""Trained networks that a training starts with or builds on, from a bundle or a work directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from evc_jax.config import to_mapping
from evc_jax.errors import ConfigError
from evc_jax.models.network import Network, Params
from evc_jax.pretrained.bundle import EMBEDDED, TrainedNetwork, load_bundle
from evc_jax.pretrained.description import DESCRIPTION_FILE, build_network
from evc_jax.pretrained.workdir import Trained, load_discriminator, load_for_inference

_NAMED_MISFITS = 3


def is_bundle(origin: str) -> bool:
    """Whether a name means a bundle, not a work directory."""
    return origin == EMBEDDED or (Path(origin) / DESCRIPTION_FILE).is_file()


def load_training(workdir: str, name: str, checkpoint: str | int = "last") -> Trained:
    """A checkpoint of a work directory, which has the network `name`.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
      ConfigError: the work directory is that of another network.
    """
    run = load_for_inference(workdir, checkpoint)
    if name not in run.params or name not in run.networks:
        raise ConfigError(f"{workdir} holds a training of {run.system}; give one of {name}.")
    return run


def trained_network(origin: str, name: str, checkpoint: str | int = "last") -> TrainedNetwork:
    """A network of a bundle or of a work directory.

    Args:
      origin: the directory; `EMBEDDED` is the bundle of the package.
      name: of the network, one of `description.NETWORKS`.
      checkpoint: which one of a work directory; see `workdir.load_for_inference`.

    Raises:
      BundleError, CheckpointError: there is no such network, or it is damaged.
      ConfigError: the work directory is that of another network.
    """
    if is_bundle(origin):
        return load_bundle(origin).network(name)
    run = load_training(origin, name, checkpoint)
    return TrainedNetwork(build_network(name, run.networks[name], origin), run.params[name])


def initial_params(origin: str, name: str, network: Network) -> Params:
    """The parameters with which the training of `network` starts; see `trained_network`.

    Raises:
      BundleError, CheckpointError: there are no such parameters.
      ConfigError: they are of another network or one of other sizes; some that do not fit are named.
    """
    trained = trained_network(origin, name)
    _check_fit(f"the {name} of {origin}", trained.params, network, trained.network.config)
    return jax.tree.map(jnp.asarray, trained.params)


def initial_discriminator(origin: str, name: str, network: Network) -> Params | None:
    """The parameters of a GAN's discriminator; None where the origin has none, as bundles, which only convert.

    Raises:
      CheckpointError: they cannot be read.
      ConfigError: they are of other sizes; some that do not fit are named.
    """
    params = None if is_bundle(origin) else load_discriminator(origin)
    if params is None:
        return None
    _check_fit(f"the discriminator of {origin}", params, network, load_training(origin, name).networks[name])
    return jax.tree.map(jnp.asarray, params)


def known_emotions(origin: str, name: str) -> tuple[str, ...]:
    """The emotions of a network, in the order of its one-hot vectors; none where it has none, or does not name them.

    Raises:
      BundleError, CheckpointError, ConfigError: see `trained_network`.
    """
    if is_bundle(origin):
        return load_bundle(origin).emotions_of(name)
    return tuple(load_training(origin, name).config.get("options", {}).get("emotions", ()))


def _check_fit(what: str, params: Params, network: Network, theirs: Any) -> None:
    """Raises ConfigError, with a few of the parameters that do not fit, and the settings that differ."""
    misfits = network.misfits(params)
    if not misfits:
        return
    more = f" and {len(misfits) - _NAMED_MISFITS} more" if len(misfits) > _NAMED_MISFITS else ""
    there, here = (
        traverse_util.flatten_dict(dict(config) if isinstance(config, Mapping) else to_mapping(config), sep=".")
        for config in (theirs, network.config)
    )
    differing = [key for key in there if key in here and there[key] != here[key] and key != "dtype"]
    remedy = ", ".join(_remedy(key, there[key]) for key in differing) or "start it without config.init_from"
    named = "; ".join(misfits[:_NAMED_MISFITS])
    raise ConfigError(f"config.init_from: {what} does not fit: {named}{more}; {remedy}.")


def _remedy(key: str, value: Any) -> str:
    if key == "code_channels":  # they follow from the encoders
        return "give config.options.speechsplit and config.options.code as there"
    if key == "emotions":
        return "give config.options.emotions as there"
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    return f"give --config.model.{key}={text}"
