"""Trained networks that a training starts with or builds on, from a bundle or a work directory."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp

from evc_jax.errors import ConfigError
from evc_jax.models.network import Network, Params
from evc_jax.pretrained.bundle import DESCRIPTION_FILE, TrainedNetwork, build_network, load_bundle
from evc_jax.pretrained.workdir import Trained, load_for_inference

EMBEDDED = "embedded"


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
      name: of the network, one of `bundle.NETWORKS`.
      checkpoint: which one of a work directory; see `workdir.load_for_inference`.

    Raises:
      BundleError, CheckpointError: there is no such network, or it is damaged.
      ConfigError: the work directory is that of another network.
    """
    if is_bundle(origin):
        return load_bundle(None if origin == EMBEDDED else origin).network(name)
    run = load_training(origin, name, checkpoint)
    return TrainedNetwork(build_network(name, run.networks[name], origin), run.params[name])


def initial_params(origin: str, name: str, network: Network) -> Params:
    """The parameters with which the training of `network` starts; see `trained_network`.

    Raises:
      BundleError, CheckpointError: there are no such parameters.
      ConfigError: they are of another network or one of other sizes.
    """
    params = trained_network(origin, name).params
    if not network.fits(params):
        raise ConfigError(
            f"config.init_from: the {name} of {origin} has other sizes than config.model; set config.model as there."
        )
    return jax.tree.map(jnp.asarray, params)
