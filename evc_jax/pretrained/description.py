"""What `bundle.json` says: which networks a bundle holds, of which configuration, and what they were trained for."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evc_jax.config import from_mapping
from evc_jax.errors import BundleError, ConfigError

FORMAT = 1
DESCRIPTION_FILE = "bundle.json"
CODES = ("content", "pitch", "rhythm", "pitch_rhythm")
RENDERINGS = ("source", "decoder")

# Of the GANs only the generator is released. Named here, not imported: reading a description must not pay for JAX.
_NETWORKS = {
    "speechsplit": ("evc_jax.models.speechsplit.network", "SpeechSplit", "SpeechSplitConfig"),
    "f0_converter": ("evc_jax.models.speechsplit.network", "F0Converter", "F0ConverterConfig"),
    "voicegan": ("evc_jax.models.gan.voicegan", "VoiceGenerator", "VoiceGANConfig"),
    "codegan": ("evc_jax.models.gan.codegan", "CodeGenerator", "CodeGANConfig"),
    "prosody": ("evc_jax.models.prosody", "ProsodyNetwork", "ProsodyConfig"),
    "waveglow": ("evc_jax.models.waveglow.network", "WaveGlow", "WaveGlowConfig"),
    "timbre_converter": ("evc_jax.models.timbre_converter", "TimbreConverter", "TimbreConverterConfig"),
}
NETWORKS = tuple(_NETWORKS)


def build_network(name: str, config: Mapping[str, Any], where: object = "bundle") -> Any:
    """The `Network` of this name.

    Raises:
      BundleError: the configuration is not one of this network.
    """
    from evc_jax.models.network import Network

    module_name, type_name, config_name = _NETWORKS[name]
    module = importlib.import_module(module_name)
    try:
        built = from_mapping(getattr(module, config_name), config, f"{DESCRIPTION_FILE}: {name}")
    except ConfigError as error:
        raise BundleError(f"The {name} network of {where} cannot be built: {error}") from error
    return Network(getattr(module, type_name), built)


def read_description(folder: Path) -> dict[str, Any]:
    """The object in a bundle's `bundle.json`, unchecked; raises BundleError where it is missing or is no JSON."""
    file = folder / DESCRIPTION_FILE
    if not file.is_file():
        raise BundleError(f"{folder} is not a bundle, it has no {DESCRIPTION_FILE}; give one that `evc bundle` wrote.")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise damaged(folder, f"{DESCRIPTION_FILE} cannot be read ({error})") from error


def check_description(description: Any, folder: Path) -> None:
    """Raises BundleError unless this describes a bundle that this version can read."""
    kinds = {"format": int, "audio": Mapping, "emotions": list | tuple, "code": str, "networks": Mapping}
    if not isinstance(description, Mapping):
        raise damaged(folder, f"{DESCRIPTION_FILE} is not a JSON object")
    if isinstance(description.get("format"), int) and description["format"] > FORMAT:
        raise BundleError(
            f"The bundle {folder} has format {description['format']} and this version reads up to {FORMAT}; "
            "upgrade evc_jax."
        )
    for key, kind in kinds.items():
        if not isinstance(description.get(key), kind):
            raise damaged(folder, f"{DESCRIPTION_FILE} has no valid {key!r}")
    networks = description["networks"]
    unknown = sorted(set(networks) - set(NETWORKS))
    if unknown:
        raise damaged(folder, f"unknown networks {', '.join(unknown)}")
    if not all(isinstance(entry, Mapping) and isinstance(entry.get("config"), Mapping) for entry in networks.values()):
        raise damaged(folder, "a network has no configuration")
    if description["code"] not in CODES:
        raise damaged(folder, f"code is {description['code']!r}, expected one of {', '.join(CODES)}")
    if (rendering := description.get("default_rendering", "decoder")) not in RENDERINGS:
        raise damaged(folder, f"default_rendering is {rendering!r}, expected one of {', '.join(RENDERINGS)}")
    for name, entry in networks.items():
        if (count := emotion_count(entry)) > len(description["emotions"]):
            raise damaged(folder, f"{name} has {count} emotions but {len(description['emotions'])} are named")


def emotion_count(entry: Mapping[str, Any]) -> int:
    """How many emotions a network of the description knows."""
    return entry["config"].get("emotions", 0)


def damaged(folder: Path, reason: str) -> BundleError:
    """The error of a bundle that holds something wrong."""
    return BundleError(f"The bundle {folder} is damaged: {reason}; copy or make it again.")
