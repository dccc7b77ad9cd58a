"""What licences mean for the sound."""

import pytest

from evc_jax.pretrained.licence import meaning


@pytest.mark.parametrize(
    ("licence", "words", "absent"),
    [
        (
            "CC BY-NC-SA 4.0",
            "not for commercial use; share adaptations under the same licence; name the authors",
            "may",
        ),
        ("CC BY 4.0", "(CC BY 4.0): name the authors of the data.", "commercial"),
        ("CC BY 4.0 and CC BY-NC-SA 4.0 and public domain", "not for commercial use; share", "read it"),
        ("CC BY-ND 4.0", "do not pass on adaptations; name", "commercial"),
        ("CC0 1.0 and public domain", "may be used for anything", "author"),
        ("CC BY 4.0 and that of model.pt", "read it before you use it", "anything"),
        ("Open Database License", "read it before you use it", "anything"),
        ("", "states no licence", "anything"),
        ("none", "states no licence", "anything"),
    ],
)
def test_one_sentence(licence, words, absent):
    sentence = meaning(licence)
    assert words in sentence and absent not in sentence
    assert sentence.endswith(".") and "\n" not in sentence
