"""The component that takes a recording."""

from __future__ import annotations

import gradio as gr


def recording_input(label: str, elem_id: str) -> gr.Audio:
    """A recording that is uploaded or recorded; its value is the path of a temporary file."""
    return gr.Audio(
        label=label,
        sources=["upload", "microphone"],
        type="filepath",
        elem_id=elem_id,
        waveform_options=gr.WaveformOptions(show_recording_waveform=False),
    )
