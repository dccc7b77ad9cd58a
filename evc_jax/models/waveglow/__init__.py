"""WaveGlow, the vocoder."""
