"""Recordings as browsers and phones make them, encoded by PyAV."""

import io
from fractions import Fraction

import numpy as np


def as_container(samples, rate_hz, container, codec, video=False, options=None, path=None):
    """A file of samples [S] or [S, channels]; with `video` a picture of 32 x 32 comes first."""
    import av

    planes = np.atleast_2d(samples.T).astype(np.float32)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(planes)]
    buffer = io.BytesIO()
    with av.open(str(path) if path else buffer, "w", format=container, options=options or {}) as file:
        pictures = file.add_stream("mpeg4", rate=10) if video else None
        stream = file.add_stream(codec, rate=rate_hz, layout=layout) if codec else None
        if pictures is not None:
            pictures.width = pictures.height = 32
            for i in range(planes.shape[1] * 10 // rate_hz):
                picture = av.VideoFrame(32, 32, "yuv420p")
                picture.pts, picture.time_base = i, Fraction(1, 10)
                file.mux(pictures.encode(picture))
            file.mux(pictures.encode())
        for first in range(0, planes.shape[1], 960) if stream is not None else ():
            part = np.ascontiguousarray(planes[:, first : first + 960])
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.rate, frame.pts, frame.time_base = rate_hz, first, Fraction(1, rate_hz)
            file.mux(stream.encode(frame))
        if stream is not None:
            file.mux(stream.encode())
    return path.read_bytes() if path else buffer.getvalue()
