"""Parameters that a training starts with: those of a network that was trained before."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp

from evc_jax.errors import ConfigError
from evc_jax.models.network import Network, Params
from evc_jax.pretrained.bundle import DESCRIPTION_FILE, load_bundle
from evc_jax.pretrained.workdir import load_for_inference

EMBEDDED = "embedded"


def initial_params(origin: str, name: str, network: Network) -> Params:
    """The parameters of a network in a bundle or, the newest ones, in a work directory.

    Args:
      origin: the directory; `EMBEDDED` is the bundle of the package.
      name: of the network, one of `bundle.NETWORKS`.
      network: that they are for.

    Raises:
      BundleError, CheckpointError: there are no such parameters.
      ConfigError: they are of a network of other sizes.
    """
    if origin == EMBEDDED or (Path(origin) / DESCRIPTION_FILE).is_file():
        params = load_bundle(None if origin == EMBEDDED else origin).network(name).params
    else:
        params = load_for_inference(origin).params.get(name)
    if not network.fits(params):
        raise ConfigError(
            f"config.init_from: the {name} of {origin} has other sizes than config.model; set config.model as there."
        )
    return jax.tree.map(jnp.asarray, params)
