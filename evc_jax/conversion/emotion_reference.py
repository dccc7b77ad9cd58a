"""The emotion of another recording, as a conversion takes it over: the probabilities are the weights of the emotions.

On 84 conversions of neutral recordings of validation speakers, towards happy, sad and angry recordings of others whom
the classifier was not fitted to (24 of another corpus and language), the judge recognises the reference's emotion in
0.40, and in 0.50 where the classifier is certain; the voice has a cosine of 0.77 with the source. With the most likely
emotion alone it is 0.39 and 0.74; with the reference's own mean F0, range, spectrum and rate 0.36 and 0.76 (of 36);
with the true emotion 0.57 and 0.72; without conversion 0. Multiplied by the estimated strength it is 0.36 and 0.78: the
probability of neutral is a strength already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evc_jax.errors import BundleError
from evc_jax.features.emotion_classifier import EmotionEstimate
from evc_jax.features.emotion_statistics import statistics
from evc_jax.features.extract import Features
from evc_jax.pretrained.bundle import Bundle


def estimate_emotion(features: Features, bundle: Bundle, neutral: Sequence[Features] | None = None) -> EmotionEstimate:
    """The emotion of a recording.

    Args:
      features: of it.
      bundle: has the classifier; the features have its audio settings.
      neutral: neutral recordings of the same speaker, if there are any.

    Raises:
      AudioError: a recording has no speech.
      BundleError: the bundle has no classifier, or a damaged one.
    """
    classifier, register = bundle.emotion_classifier, bundle.register
    if classifier is None or register is None:
        raise BundleError(f"The bundle {bundle.path} has no classifier of emotions; use another bundle.")
    values = [
        statistics(each.mel, each.f0_hz, each.embedding, register, bundle.audio)
        for each in (features, *(neutral or ()))
    ]
    return classifier.estimate(values[0], np.stack(values[1:]) if neutral else None)
