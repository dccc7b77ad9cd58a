"""A released set of networks: one directory with `bundle.json` and Orbax parameters in `params/NETWORK`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.config import from_mapping
from evc_jax.errors import BundleError, ConfigError, one_line
from evc_jax.files import ASSETS, atomic_dir, printable
from evc_jax.pretrained.checksums import write_checksums
from evc_jax.pretrained.description import (
    DESCRIPTION_FILE,
    FORMAT,
    build_network,
    check_description,
    damaged,
    emotion_count,
    read_description,
)

if TYPE_CHECKING:
    from jaxtyping import Float

    from evc_jax.features.emotion_classifier import EmotionClassifier
    from evc_jax.features.register import MeasuredVoice, Register
    from evc_jax.pretrained.speakers import TrainingSpeakers

PARAMS_FOLDER = "params"
EMBEDDED = "embedded"  # what names the bundle of the package
# Of what `exchange` and `stablehlo` write instead of parameters.
EXPORTED_SUFFIXES = SAFETENSORS, STABLEHLO = ".safetensors", ".stablehlo"
STORAGE_DTYPES = ("float16", "float32")


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """One network of a bundle, ready to apply: `network.apply(params, ...)`.

    Attributes:
      network: the `models.network.Network`, which has its `config`.
      params: nested dict of float32 arrays.
    """

    network: Any
    params: Any


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle on disk; its networks are read when they are first needed.

    Attributes:
      path: the directory.
      description: `bundle.json` as it is.
      audio: the settings that every network of the bundle was trained with.
      emotions: names of the emotions; each network with emotions knows the first of them, see `emotions_of`.
      code: which codes CodeGAN converts, one of `CODES`.
      networks: those read so far; ask `network` for one.
    """

    path: Path
    description: Mapping[str, Any] = field(repr=False)
    audio: AudioConfig = field(repr=False)
    emotions: tuple[str, ...]
    code: str
    networks: dict[str, TrainedNetwork] = field(default_factory=dict, repr=False)

    def has(self, name: str) -> bool:
        """Whether the bundle contains the network."""
        return name in self.description["networks"]

    def require(self, name: str) -> None:
        """Raises BundleError unless the bundle contains the network."""
        if not self.has(name):
            present = ", ".join(self.description["networks"]) or "none"
            raise BundleError(f"The bundle {self.path} has no {name} network, it has: {present}; use another bundle.")

    def emotions_of(self, name: str) -> tuple[str, ...]:
        """The emotions that a network knows, in the order of its one-hot vectors; none where the bundle lacks it."""
        return self.emotions[: emotion_count(self.description["networks"][name])] if self.has(name) else ()

    @property
    def licence(self) -> str:
        """Under which it may be used, as its description states it; empty where it does not."""
        return self.description.get("licence", "")

    @property
    def default_vocoder(self) -> str:
        """The vocoder that measured better when the bundle was made."""
        return self.description.get("default_vocoder", "griffin-lim")

    @property
    def default_rendering(self) -> str:
        """The one of `RENDERINGS` that measured better when the bundle was made; "decoder" in older bundles."""
        return self.description.get("default_rendering", "decoder")

    @property
    def register(self) -> Register | None:
        """How high a voice speaks; None where the bundle does not know it.

        Raises:
          BundleError: what it knows is damaged.
        """
        from evc_jax.features.register import Register  # the command line's help must not pay for it

        register = self._stored("register", Register.from_mapping)
        return None if register is None else Register(register.weights, tuple(self.voices.values()))

    @property
    def emotion_classifier(self) -> EmotionClassifier | None:
        """Which emotion a recording is spoken in; None where the bundle has no classifier.

        Raises:
          BundleError: the classifier is damaged.
        """
        from evc_jax.features.emotion_classifier import EmotionClassifier

        return self._stored("emotion_classifier", EmotionClassifier.from_mapping)

    def _stored(self, name: str, read: Callable[[Any], Any]) -> Any:
        stored = self.description.get(name)
        try:
            return None if stored is None else read(stored)
        except (TypeError, ValueError, KeyError) as error:
            raise damaged(self.path, f"its {name} holds no weights ({one_line(error)})") from error

    @property
    def voices(self) -> dict[str, MeasuredVoice]:
        """The voices that `evc adapt` added, by name.

        Raises:
          BundleError: they are damaged.
        """
        from evc_jax.features.register import MeasuredVoice

        try:
            stored = self.description.get("voices", {}).items()
            return {name: MeasuredVoice.from_mapping(entry, self.audio.mel_bands) for name, entry in stored}
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise damaged(self.path, f"its voices cannot be read ({one_line(error)})") from error

    @property
    def speakers(self) -> TrainingSpeakers | None:
        """Speakers that the networks were trained on; None where the bundle does not have them. Read at each call.

        Raises:
          BundleError: their file is damaged.
        """
        from evc_jax.pretrained.speakers import SPEAKERS_FILE, read_speakers

        try:
            return read_speakers(self.path / SPEAKERS_FILE)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise damaged(self.path, f"{SPEAKERS_FILE} cannot be read ({one_line(error)})") from error

    def known_voice(self, embedding: Float[np.ndarray, " 256"]) -> MeasuredVoice | None:
        """The one of `voices` that an embedding is nearest to; None where there are none."""
        from evc_jax.features.register import nearest_voice

        return nearest_voice(list(self.voices.values()), embedding)

    def network(self, name: str) -> TrainedNetwork:
        """The network with its parameters, read on the first call.

        Raises:
          BundleError: the bundle does not contain it, or its parameters cannot be read.
        """
        self.require(name)
        if name not in self.networks:
            network = build_network(name, self.description["networks"][name]["config"], self.path)
            self.networks[name] = TrainedNetwork(network, _read_params(self.path, name, network))
        return self.networks[name]


def embedded_path() -> Path:
    """Where the bundle shipped with the package lies."""
    return ASSETS / "bundle"


def load_bundle(path: str | os.PathLike | None = None, progress: bool | None = None) -> Bundle:
    """Opens a bundle.

    Args:
      path: its directory, or one of the places that `remote.local_folder` fetches it from; None or `EMBEDDED` is the
        bundle shipped with the package.
      progress: whether to draw a bar while it is fetched; None draws one where a terminal watches.

    Raises:
      BundleError: nothing there, not a bundle, written by a newer version, or damaged.
    """
    given: Any = path
    if not isinstance(given, str | os.PathLike | None):
        raise BundleError(f"The bundle is {given!r:.40}; give the folder of one.")
    folder = embedded_path() if path is None or os.fspath(path) == EMBEDDED else Path(path)
    if path is not None and not folder.is_dir():
        from evc_jax.pretrained.remote import local_folder

        folder = local_folder(path, progress)
    if not folder.is_dir():
        raise BundleError(f"There is no bundle directory at {folder}; give one that `evc bundle` wrote.")
    return from_description(read_description(folder), folder)


def from_description(
    description: Mapping[str, Any], path: str | os.PathLike, networks: Mapping[str, TrainedNetwork] | None = None
) -> Bundle:
    """The bundle that a description describes; `networks` are those in memory already.

    Raises:
      BundleError: the description is not one.
    """
    folder = Path(path)
    check_description(description, folder)
    try:
        audio = from_mapping(AudioConfig, description["audio"], f"{DESCRIPTION_FILE}: audio")
    except ConfigError as error:
        raise damaged(folder, str(error).rstrip(".")) from error
    emotions, code = tuple(description["emotions"]), description["code"]
    return Bundle(folder, description, audio, emotions, code, dict(networks or {}))


def save_bundle(
    path: str | os.PathLike,
    description: Mapping[str, Any],
    params: Mapping[str, Any],
    storage_dtype: str = "float32",
    speakers: TrainingSpeakers | None = None,
) -> Path:
    """Writes a bundle; a bundle already there is replaced, but only once the new one is complete.

    Args:
      path: the directory to make.
      description: see `bundle.json` of any bundle; `format` and `storage_dtype` are filled in here.
      params: per network the nested dict of its parameters.
      storage_dtype: float16 halves the size; parameters are float32 again when read.
      speakers: that the networks were trained on.

    Raises:
      BundleError: `path` is something other than a bundle, or description and parameters do not belong together.
    """
    path = Path(path)
    check_replaceable(path)
    if storage_dtype not in STORAGE_DTYPES:
        raise BundleError(f"storage_dtype is {storage_dtype!r}; expected one of {', '.join(STORAGE_DTYPES)}.")
    complete = {"format": FORMAT, **description, "storage_dtype": storage_dtype}
    check_description(complete, path)
    if set(params) != set(complete["networks"]):
        raise BundleError(
            f"The description names the networks {sorted(complete['networks'])} but parameters of {sorted(params)} "
            "were given; give both for each."
        )
    with atomic_dir(path) as folder:
        for name, tree in params.items():
            write_params(folder / PARAMS_FOLDER / name, tree, storage_dtype)
        if speakers is not None:
            from evc_jax.pretrained.speakers import SPEAKERS_FILE, write_speakers

            write_speakers(folder / SPEAKERS_FILE, speakers)
        (folder / DESCRIPTION_FILE).write_text(json.dumps(complete, indent=2) + "\n")
        write_checksums(folder)
    return path


def check_replaceable(path: Path) -> None:
    """Raises BundleError where `path` is something other than a bundle or an empty folder."""
    if path.exists() and not (path / DESCRIPTION_FILE).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise BundleError(f"{printable(path)} exists and is not a bundle; choose another output directory.")


def write_params(folder: Path, tree: Any, storage_dtype: str = "float32") -> None:
    """Writes parameters with Orbax, each leaf as `storage_dtype`."""
    import jax
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as writer:
        writer.save(folder.resolve(), jax.tree.map(lambda leaf: np.asarray(leaf).astype(storage_dtype), tree))
    marker = folder / "commit_success.txt"
    if marker.exists():  # Orbax writes into it the machine's path
        marker.write_text("complete\n")


def stored_params(folder: Path, name: str, network: Any) -> Any:
    """The parameters of a network as they are stored, in the bundle's `storage_dtype`.

    Raises:
      BundleError: they cannot be read, or are not those of `network`.
    """
    from evc_jax.pretrained.workdir import read_arrays

    try:
        stored = read_arrays((folder / PARAMS_FOLDER / name).resolve())
        if not network.fits(stored):
            raise ValueError("they have other shapes than those of its configuration")
    except Exception as error:  # Orbax and TensorStore raise many kinds for a file that is missing or cut short
        if any(path.suffix in EXPORTED_SUFFIXES for path in folder.iterdir()):
            reason = "is one for other programs; of safetensors `evc bundle import` makes one to convert with"
            raise BundleError(f"The bundle {folder} {reason}.") from error
        raise damaged(folder, f"the parameters of {name} cannot be read ({one_line(error)})") from error
    return stored


def _read_params(folder: Path, name: str, network: Any) -> Any:
    import jax

    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), stored_params(folder, name, network))
