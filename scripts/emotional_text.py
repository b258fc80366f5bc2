"""Sentences whose words tell an emotion, for speech that we synthesise: what is said can then help a classifier.

They are put together from parts: classes share most of their words, and few sentences occur twice.
"""

from __future__ import annotations

import numpy as np

# Openings and endings of each class go with each topic of the list below.
OPENINGS = {
    "neu": (
        "the report about", "we are going to look at", "there is a short note on", "please read the page about",
        "this is the second part of", "the office has a list of", "tomorrow we talk about", "the next item is",
    ),
    "hap": (
        "i am so happy about", "what a wonderful surprise", "we laughed and danced because of", "i really love",
        "we are so lucky with", "everyone was smiling about", "it is such a joy to see", "we will celebrate",
    ),
    "sad": (
        "i cried all night about", "it breaks my heart to lose", "i feel so lonely without", "we are mourning",
        "i am sorry about", "i miss", "there is no hope for", "it hurts to think of",
    ),
    "ang": (
        "i am furious about", "stop lying to me about", "how dare you ruin", "i hate what you did to",
        "you never listen about", "i am sick of", "shut up about", "it is your stupid fault with",
    ),
}  # fmt: skip
ENDINGS = {
    "neu": ("as usual", "at the desk", "on the second floor", "before noon", "in the file", "and then the rest"),
    "hap": ("what fun", "this is the best day", "it is beautiful", "hooray", "we won", "i am delighted"),
    "sad": ("and now it is gone", "i am all alone", "nobody came", "goodbye", "it is too late", "i cannot go on"),
    "ang": ("get out", "i have had enough", "this is outrageous", "you idiot", "leave me alone", "how could you"),
}
TOPICS = (
    "the house", "my brother", "the garden", "our school", "the old car", "the letter", "my sister", "the money",
    "the party", "this town", "the job", "our dog", "the doctor", "the game", "her book", "the weather", "the boat",
    "their wedding", "the kitchen", "my friend",
)  # fmt: skip


def sentence(label: str, rng: np.random.Generator) -> list[str]:
    """The words of a random sentence of a class: `neu`, `hap`, `sad` or `ang`."""
    opening, topic, ending = (str(rng.choice(part)) for part in (OPENINGS[label], TOPICS, ENDINGS[label]))
    return f"{opening} {topic} {ending if rng.random() < 0.5 else ''}".split()
