"""The newest pictures and sounds of a training, from its event files, as they grow.

An event file holds records of TensorFlow's TFRecord format: length, checksum of the length, an `Event` as a protocol
buffer, its checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc_jax.training.metrics_writer import tensorboard

_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Sample:
    """A picture (PNG) or a sound (WAV) of a validation utterance.

    Attributes:
      tag: "UTTERANCE/NAME".
      step: at which it was made.
      suffix: ".png" or ".wav".
      data: the file's content.
    """

    tag: str
    step: int
    suffix: str
    data: bytes

    @property
    def utterance(self) -> str:
        return self.tag.rpartition("/")[0]


class SampleReader:
    """Reads on in the event files of one work directory at each call."""

    def __init__(self, workdir: Path):
        self._folder = workdir / "tensorboard"
        self._offsets: dict[Path, int] = {}
        self._newest: dict[str, Sample] = {}

    def read(self) -> list[Sample]:
        """The newest sample of every tag; those of an utterance in the order in which they were first made."""
        files = sorted(self._folder.glob("events.out.tfevents.*")) if self._folder.is_dir() else []
        for file in files:
            for event in self._new_events(file):
                self._take(event)
        return sorted(self._newest.values(), key=lambda sample: sample.utterance)

    def _take(self, event: Any) -> None:
        if event.HasField("session_log") and event.session_log.status == event.session_log.START:
            # A resumed training takes back what was written from its step on.
            self._newest = {tag: sample for tag, sample in self._newest.items() if sample.step < event.step}
        for value in event.summary.value:
            if value.HasField("image"):
                sample = Sample(value.tag, event.step, ".png", value.image.encoded_image_string)
            elif value.HasField("audio"):
                sample = Sample(value.tag, event.step, ".wav", value.audio.encoded_audio_string)
            else:
                continue
            self._newest[value.tag] = sample

    def _new_events(self, path: Path) -> Iterator[Any]:
        """The events behind those read before; one that is not written whole yet waits for the next call."""
        proto, checksum = tensorboard().proto.event_pb2, tensorboard().record_writer.masked_crc32c
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            while len(header := file.read(_HEADER.size)) == _HEADER.size:
                length, check = _HEADER.unpack(header)
                if check != checksum(header[:8]) or file.tell() + length + _CHECKSUM_BYTES > size:
                    return
                event = proto.Event()
                event.ParseFromString(file.read(length))
                file.seek(_CHECKSUM_BYTES, 1)
                self._offsets[path] = file.tell()
                yield event
