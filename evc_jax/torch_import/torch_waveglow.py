"""Config and weights of the original WaveGlow, with weight norm or after its removal."""

from __future__ import annotations

import re

import numpy as np

from evc_jax.errors import CheckpointError
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.torch_import.torch_names import (
    CONV,
    CONV_TRANSPOSE,
    PER_CHANNEL,
    POINTWISE,
    Layout,
    State,
    Weight,
    conv_weights,
    count_matching,
    shape_of,
)

PARAMETRIZED_MODULE = ".parametrizations.weight"
PARAMETRIZED_KINDS = {"original0": "weight_g", "original1": "weight_v"}
PARAMETRIZED = tuple(f"{PARAMETRIZED_MODULE}.{kind}" for kind in PARAMETRIZED_KINDS)


def waveglow_config(state: State, upsample_stride: int = 256) -> WaveGlowConfig:
    """Sizes; `state` is one that `in_latest_form` made."""
    if any(".res_layers." in name for name in state):
        raise CheckpointError(
            "This is a WaveGlow of NVIDIA's first form (res_layers and skip_layers), whose couplings swap halves; give "
            "one of the later form (res_skip_layers)."
        )
    mel_bands, _, upsample_kernel = shape_of(state, "upsample.weight", 3)
    channels = [shape_of(state, "convinv.0.conv.weight", 3)[0]]
    flows = count_matching(state, r"convinv\.(\d+)\.conv\.weight$")
    channels += [shape_of(state, f"convinv.{flow}.conv.weight", 3)[0] for flow in range(1, flows)]
    drops = [flow for flow in range(1, flows) if channels[flow] != channels[flow - 1]]
    wn_channels, _, wn_kernel = shape_of(state, "WN.0.in_layers.0.weight_v", 3)
    return WaveGlowConfig(
        mel_bands=mel_bands,
        flows=flows,
        group_samples=channels[0],
        early_every=drops[0] if drops else flows,
        early_channels=channels[drops[0] - 1] - channels[drops[0]] if drops else 0,
        wn_layers=count_matching(state, r"WN\.0\.in_layers\.(\d+)\.weight_v$"),
        wn_channels=wn_channels // 2,
        wn_kernel=wn_kernel,
        upsample_kernel=upsample_kernel,
        upsample_stride=upsample_stride,
    )


def waveglow_weights(config: WaveGlowConfig) -> list[Weight]:
    """All weights."""
    condition = _squeezed_mel(config)
    weights = conv_weights(("upsample",), "upsample", CONV_TRANSPOSE)
    for flow in range(config.flows):
        mixer = ("mixers", str(flow), "kernel")
        weights.append(Weight(mixer, f"convinv.{flow}.conv.weight", POINTWISE))
        path, name = ("couplings", str(flow)), f"WN.{flow}"
        weights += _normed((*path, "start"), f"{name}.start")
        weights += _normed((*path, "condition"), f"{name}.cond_layer", condition)
        for layer in range(config.wn_layers):
            weights += _normed((*path, "dilated", str(layer)), f"{name}.in_layers.{layer}")
            weights += _normed((*path, "residual_skip", str(layer)), f"{name}.res_skip_layers.{layer}")
        weights += conv_weights((*path, "end"), f"{name}.end")
    return weights


def in_latest_form(state: State) -> dict[str, np.ndarray]:
    """The same state in NVIDIA's latest form: `weight_v` and `weight_g` for every coupling's convolution but the last.

    Knows weight norm as PyTorch keeps it since 2.1 (`parametrizations.weight.original1` and `original0`), as it kept it
    before (`weight_v` and `weight_g`), and after its removal (`weight`).
    """
    result: dict[str, np.ndarray] = {}
    for name, value in state.items():
        module, _, kind = name.rpartition(".")
        if name.endswith(PARAMETRIZED):
            result[f"{module.removesuffix(PARAMETRIZED_MODULE)}.{PARAMETRIZED_KINDS[kind]}"] = value
        elif kind == "weight" and module.startswith("WN.") and not module.endswith(".end") and _is_filter(value):
            norm = np.sqrt(np.sum(np.square(value, dtype=np.float64), axis=(1, 2), keepdims=True))
            # A filter of zeros has no direction: any one will do, at length zero.
            result[f"{module}.weight_v"] = np.where(norm > 0, value, np.float32(1))
            result[f"{module}.weight_g"] = norm.astype(np.float32)
        else:
            result[name] = value
    return _with_one_condition(result)


def _with_one_condition(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same state with one `cond_layer` for every coupling, where NVIDIA's older form has one for every layer."""
    groups: dict[str, dict[int, np.ndarray]] = {}
    result = {}
    for name, value in state.items():
        match = re.fullmatch(r"(WN\.\d{1,3}\.cond_layer)s\.(\d{1,3})\.(weight_v|weight_g|bias)", name)
        if match:
            groups.setdefault(f"{match[1]}.{match[3]}", {})[int(match[2])] = value
        else:
            result[name] = value
    for name, layers in groups.items():
        if sorted(layers) != list(range(len(layers))) or len({np.shape(value)[1:] for value in layers.values()}) > 1:
            raise CheckpointError(f"the checkpoint's cond_layers, of which {name} is made, do not fit one another")
        result[name] = np.concatenate([np.atleast_1d(layers[layer]) for layer in range(len(layers))])
    return result


def _is_filter(value: np.ndarray) -> bool:
    return np.ndim(value) == 3 and np.asarray(value).dtype.kind == "f"


def _normed(path: tuple[str, ...], name: str, layout: Layout = CONV) -> list[Weight]:
    return [
        Weight((*path, "direction"), f"{name}.weight_v", layout),
        Weight((*path, "scale"), f"{name}.weight_g", PER_CHANNEL),
        Weight((*path, "bias"), f"{name}.bias"),
    ]


def _squeezed_mel(config: WaveGlowConfig) -> Layout:
    """The original squeezes the mel band by band; ours sample by sample, which is a mere reshape in [B, T, C]."""
    bands, group = config.mel_bands, config.group_samples

    def ours(weight: np.ndarray) -> np.ndarray:
        outputs = weight.shape[0]
        return weight.reshape(outputs, bands, group).transpose(2, 1, 0).reshape(1, group * bands, outputs)

    def theirs(weight: np.ndarray) -> np.ndarray:
        outputs = weight.shape[2]
        return weight.reshape(group, bands, outputs).transpose(2, 1, 0).reshape(outputs, bands * group, 1)

    return Layout(ours, theirs)
