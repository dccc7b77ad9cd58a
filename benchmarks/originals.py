"""The PyTorch originals, imported from a checkout that the user has; nothing of them is part of this project."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax

from benchmarks.harness import Contender
from evc_jax.errors import ConfigError
from evc_jax.models.speechsplit.config import F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.waveglow.config import WaveGlowConfig

# A file that tells a repository.
WAVEGLOW = ("glow.py", "https://github.com/NVIDIA/waveglow")
SPEECHSPLIT = ("solver.py", "https://github.com/auspicious3000/SpeechSplit")


def contenders(name: str, prepare: Callable[[bool], Callable[[], Any]], what: str = "torch.compile") -> list[Contender]:
    """The original as it is, which the others are compared with, and on a GPU also compiled by PyTorch.

    Args:
      name: of the original.
      prepare: as of `Contender`, given whether to compile.
      what: the compiled contender's name after the original's.
    """
    made = [Contender(name, functools.partial(prepare, False), original=True)]
    if jax.default_backend() == "gpu":
        made.append(Contender(f"{name}, {what}", functools.partial(prepare, True), optional=True))
    return made


def device() -> Any:
    """The `torch.device` to compute on; a GPU may multiply float32 in TF32 from now on, as JAX has it."""
    import torch

    torch.set_float32_matmul_precision("high")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: Any, compute_dtype: str) -> Any:
    """PyTorch's context for products in bfloat16, if that is the type of the arithmetic."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=compute_dtype == "bfloat16")


def waveglow(reference: Path, config: WaveGlowConfig) -> Any:
    """NVIDIA's WaveGlow of these sizes, a `torch.nn.Module`, with the weights it starts a training with."""
    return waveglow_module(reference).WaveGlow(
        config.mel_bands,
        config.flows,
        config.group_samples,
        config.early_every,
        config.early_channels,
        {"n_layers": config.wn_layers, "n_channels": config.wn_channels, "kernel_size": config.wn_kernel},
    )


def waveglow_module(reference: Path) -> ModuleType:
    """The file with the network and its loss."""
    return _module(reference, WAVEGLOW, "glow")


@contextlib.contextmanager
def on_cpu() -> Iterator[None]:
    """WaveGlow's synthesis names CUDA's tensor types; meanwhile they are the CPU's."""
    import torch

    if torch.cuda.is_available():
        yield
        return
    before = torch.cuda.FloatTensor
    torch.cuda.FloatTensor = torch.FloatTensor
    try:
        yield
    finally:
        torch.cuda.FloatTensor = before


def speechsplit(reference: Path, config: SpeechSplitConfig) -> tuple[Any, Any, Callable]:
    """The authors' autoencoder of these sizes, their random resampling and their quantisation of F0.

    Their decoder's width and the numbers of blocks and layers are fixed at those that `config` has by default.
    """
    model, hparams = speechsplit_modules(reference)
    utils = speechsplit_utils(reference)
    settings = SimpleNamespace(**{**hparams.values(), **speechsplit_sizes(config)})
    return model.Generator_3(settings), model.InterpLnr(settings), utils.quantize_f0_torch


def speechsplit_sizes(config: SpeechSplitConfig | F0ConverterConfig) -> dict[str, int]:
    """The sizes of either network by the authors' names."""
    rhythm, pitch, resampling = config.rhythm, config.pitch, config.resampling
    sizes = {
        "dim_enc_2": rhythm.width,
        "dim_neck_2": rhythm.neck,
        "freq_2": rhythm.factor,
        "dim_enc_3": pitch.width,
        "dim_neck_3": pitch.neck,
        "freq_3": pitch.factor,
        "dim_freq": config.mel_bands,
        "dim_f0": config.f0_classes,
        "chs_grp": config.group_channels,
        "min_len_seg": resampling.min_segment_frames,
        "max_len_seg": resampling.max_segment_frames,
        "max_len_seq": resampling.max_length_frames,
        "max_len_pad": resampling.padded_frames,
    }
    if isinstance(config, SpeechSplitConfig):
        content = config.content
        sizes |= {"dim_enc": content.width, "dim_neck": content.neck, "freq": content.factor}
        sizes["dim_spk_emb"] = config.embedding_channels
    return sizes


def speechsplit_modules(reference: Path) -> tuple[ModuleType, Any]:
    """The file with the authors' networks, and their settings."""
    with _importable(find(reference, *SPEECHSPLIT)), _without_librosa():
        return importlib.import_module("model"), importlib.import_module("hparams").hparams


@contextlib.contextmanager
def _without_librosa() -> Iterator[None]:
    """A file that the authors' network imports needs librosa for its mel filters only: an empty one where it is not."""
    if importlib.util.find_spec("librosa"):
        yield
        return
    package, filters = ModuleType("librosa"), ModuleType("librosa.filters")
    filters.mel = None  # type: ignore[attr-defined]
    sys.modules.update({"librosa": package, "librosa.filters": filters})
    try:
        yield
    finally:
        del sys.modules["librosa"], sys.modules["librosa.filters"]


def speechsplit_utils(reference: Path) -> ModuleType:
    """The file with the functions that SpeechSplit's `make_spect_f0.py` computes mel and F0 with."""
    return _module(reference, SPEECHSPLIT, "utils")


def find(reference: Path, file: str, address: str) -> Path:
    """The folder that holds `file`: `reference` itself or one right below it.

    Raises:
      ConfigError: there is none.
    """
    for folder in (reference, *sorted(reference.glob("*"))):
        if (folder / file).is_file():
            return folder
    raise ConfigError(f"{reference} holds no {file}; give a checkout of {address}, or a folder with one.")


def _module(reference: Path, repository: tuple[str, str], name: str) -> ModuleType:
    with _importable(find(reference, *repository)):
        return importlib.import_module(name)


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
