"""Operations on SpeechSplit's codes: the parts that CodeGAN converts, side by side in channels, and the pitch gain.

Source: emo-clone (github.com/alexbrx/emo-clone, 2020), whose "fake neutral" is a gain of 0.1 on the pitch code.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from evc_jax.models.speechsplit.network import Codes


def select_codes(codes: Codes, code: str) -> Float[Array, "B T C"]:
    """The part named `code`, one of `description.CODES`; for "pitch_rhythm" the channels of pitch come first."""
    return jnp.concatenate([getattr(codes, name) for name in code.split("_")], axis=-1)


def replace_codes(codes: Codes, code: str, values: Float[Array, "B T C"]) -> Codes:
    """The inverse of `select_codes`: the part named `code` becomes `values`, the rest stays."""
    parts, start = {}, 0
    for name in code.split("_"):
        end = start + getattr(codes, name).shape[-1]
        parts[name] = values[..., start:end]
        start = end
    return dataclasses.replace(codes, **parts)


def scale_pitch(codes: Codes, gain: Float[Array, " B"]) -> Codes:
    """Multiplies the pitch code of each sample; a gain of 1 changes no bit."""
    return dataclasses.replace(codes, pitch=codes.pitch * gain[:, None, None])
