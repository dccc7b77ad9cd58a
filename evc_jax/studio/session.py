"""What the page works with: a converter, the recordings that were analysed, and the files it has made."""

from __future__ import annotations

import functools
import hashlib
import threading
import uuid
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.decoding import check_file, naming_errors, stated_length
from evc_jax.audio.formats import OUTPUT_FORMATS
from evc_jax.audio.io import AudioReader, sound_bytes
from evc_jax.audio.plotting import Picture, png_bytes
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import WHOLE_S, convert_segments, join_conversions
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.result import Conversion
from evc_jax.conversion.settings import metadata_text, settings_of
from evc_jax.errors import AudioError
from evc_jax.features.extract import Features
from evc_jax.pretrained.bundle import Bundle, embedded_path
from evc_jax.studio.outputs import Outputs
from evc_jax.studio.players import Link, picture_html
from evc_jax.studio.settings import StudioSettings

_REMEMBERED = 8  # recordings whose features are kept


@functools.lru_cache(maxsize=256)
def _stated_length(path: str, size: int, modified_ns: int) -> tuple[int, int]:
    """`stated_length` of a file as it is now; that of a WebM or M4A file decodes the whole of it."""
    return stated_length(path)


class Studio:
    """One bundle behind a page that several people may use at once."""

    def __init__(self, bundle: Bundle, settings: StudioSettings, folder: Path):
        """`folder` is temporary and private; the caller removes it."""
        self.bundle, self.settings, self.folder = bundle, settings, folder
        self.converter = Converter(bundle)
        self.outputs = Outputs(folder / "outputs")
        self._features: OrderedDict[bytes, Features] = OrderedDict()
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Reads the networks and compiles what an ordinary conversion needs."""
        for name in self.bundle.description["networks"]:
            self.bundle.network(name)
        rate_hz = self.converter.sample_rate_hz
        noise = np.random.default_rng(0).normal(0, 0.1, 3 * rate_hz).astype(np.float32)
        emotion = self.converter.emotions[-1] if self.converter.emotions else None
        self.converter.convert(noise, rate_hz, emotion=emotion)

    def check_duration(self, path: str | Path) -> float:
        """The duration in seconds; raises AudioError where the recording is too long."""
        status = check_file(path).stat()
        samples, rate_hz = _stated_length(str(path), status.st_size, status.st_mtime_ns)
        limit_s = self.settings.max_seconds
        if samples > limit_s * rate_hz:
            lasts = f"The recording lasts {samples / rate_hz:.0f} s"
            raise AudioError(f"{lasts}; the studio takes up to {limit_s:g} s, give a part of it.")
        return samples / max(1, rate_hz)

    def features(self, path: str | Path) -> Features:
        """The features of a recording, whole in memory; those of the last few are kept.

        Raises:
          AudioError: it is too long or cannot be used; the sentence does not hold its folder.
        """
        key = hashlib.sha256(Path(path).read_bytes()).digest()
        with self._lock:
            if known := self._features.get(key):
                self._features.move_to_end(key)
                return known
        self.check_duration(path)
        with naming_errors(path):
            whole = AudioReader(path).read(self.settings.max_seconds)
            assert whole is not None  # as its duration was checked
            features = self.converter.extract(*whole)
        with self._lock:
            self._features[key] = features
            while len(self._features) > _REMEMBERED:
                self._features.popitem(last=False)
        return features

    def convert(
        self, path: str | Path, options: ConversionOptions, report: Callable[[float], Any] = lambda share: None
    ) -> Conversion:
        """Converts a file as `evc convert` does; `report` is called with the share that is done.

        Raises:
          EvcError: the recording, an option or the bundle does not allow it.
        """
        options.check(self.bundle)
        duration_s = self.check_duration(path)
        if duration_s <= WHOLE_S:
            return self.converter.convert_features(self.features(path), options)
        parts, done_s = [], 0.0
        for part in convert_segments(self.converter, path, options, folder=self.folder):
            parts.append(part)
            done_s += len(part.source.audio) / self.converter.sample_rate_hz
            report(min(1.0, done_s / duration_s))
        return join_conversions(parts)

    def settings_of(self, options: ConversionOptions, **more: str) -> dict[str, Any]:
        """The settings of a conversion, as `evc convert --settings` takes them; another bundle by its name alone."""
        embedded = Path(self.bundle.path).resolve() == embedded_path().resolve()
        return settings_of(options, None if embedded else Path(self.bundle.path).name, **more)

    def new_file(self, suffix: str) -> Path:
        """A name in the private folder that nothing has yet."""
        return self.folder / f"{uuid.uuid4().hex}{suffix}"

    def add_picture(self, pixels: Picture, description: str) -> str:
        """HTML of a picture, which is kept as a PNG file."""
        return picture_html(self.outputs.add("picture.png", png_bytes(pixels)), description, pixels.shape[1])

    def add_zip(self, name: str, files: Mapping[str, Path | bytes]) -> str:
        """Keeps a ZIP file of files and contents by name; returns HTML of its download."""
        place = self.new_file(".zip")
        with zipfile.ZipFile(place, "w") as archive:
            for each, content in files.items():
                if isinstance(content, Path):
                    archive.write(content, each)
                else:
                    archive.writestr(each, content)
        return Link("Download all", self.outputs.add(name, place), name).html()

    def add_sound(self, name: str, audio: Float[np.ndarray, " S"], comment: dict[str, Any] | None = None) -> str:
        """Keeps sound as a WAV file; returns the path of its URL. `comment` are the settings of a conversion."""
        place = self.new_file(".wav")
        text = "" if comment is None else metadata_text(comment)
        place.write_bytes(sound_bytes(audio, self.converter.sample_rate_hz, OUTPUT_FORMATS[".wav"], text))
        return self.outputs.add(name, place)
