"""The phrases that teach the built-in text tower: words, names, and what people make of them.

Nothing here comes from a corpus of sentences: forms are filled with names of things, and with
verbs, qualities, places and voices from the lists below. Which phrases come out is fixed by seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

WORDS = 5_000
COMPOSED = 13_000


def _words(text: str) -> list[str]:
    return text.split()


def _parts(text: str) -> list[str]:
    return text.replace("\n", "").split("|")


VERBS = _words("""
barking meowing ringing crying laughing singing playing running falling breaking dripping chirping
clapping walking knocking buzzing whistling roaring howling screaming talking snoring coughing
sneezing crackling splashing blowing rattling creaking ticking beeping humming hissing flying
driving passing closing opening cutting eating drinking sleeping rolling sliding dragging bouncing
spinning pouring boiling bubbling burning cracking crashing crunching exploding firing grinding
groaning growling hitting jumping kicking landing leaking moaning moving panting pecking popping
pounding pumping purring pushing ripping rubbing rustling scraping scratching shaking shattering
shouting shutting slamming slapping smashing sniffing spraying squeaking starting stirring
stopping swinging swimming tapping tearing throwing thumping tinkling typing vibrating washing
whispering wheezing whirring winding writing yelling yawning arriving leaving idling accelerating
braking skidding galloping trotting grazing fighting hammering sawing drilling digging chopping
frying cooking cleaning sweeping counting praying cheering marching dancing standing sitting lying
waiting looking resting leaning hanging growing
""")

QUALITIES = _words("""
big small old loud quiet wooden metal plastic red black white electric broken wild young empty
heavy distant fast slow wet huge tiny rusty squeaky dry hot cold cheap modern antique angry happy
sad scary strange soft hard sharp dull low high deep shrill muffled noisy busy crowded dark bright
green blue yellow brown grey orange long short thin thick fluffy dirty clean glass stone paper
rubber leather steel tin brass mechanical digital medieval futuristic spooky playful sleepy hungry
frightened gentle violent sudden steady
""")

PLACES = _parts("""
in the street|in a room|in the forest|on a table|outdoors|with a crowd|in the distance|
at night|on the water|far away|up close|in the rain|in the snow|in the kitchen|in the bathroom|
in a garden|on a farm|in the jungle|on the beach|at sea|by the river|under water|in a cave|
in a tunnel|in a church|in a large hall|in an office|in a factory|in a workshop|in a garage|
in a hospital|at school|at the station|at the airport|in the city|in a village|on the highway|
on a gravel road|on a wooden floor|on concrete|on carpet|on a metal roof|against a window|
behind a wall|through a door|down the stairs|around a corner|on the phone|on the radio|
in the background|in the morning|in the evening|on a summer day|in winter|before a storm|
after a race|during a match|again and again|for a long time|from the next room|from above|
in the mud|on grass|in dry leaves|on a mountain|in the desert|in space|on the ground|
in front of a house|next to a fence|at the side of the road|in the sun|in the shade
""")

PERSONS = _parts("""
a man|a woman|a child|a little girl|a boy|a baby|an old man|an old woman|somebody|
someone|people|two men|two women|a crowd|children|a group of people|a family|a worker|a soldier|
a doctor|a teacher|a policeman|a farmer|a singer|a musician|a driver|a rider|a monster|a robot|
a ghost|he|she|they
""")

MANNERS = _words("""
loudly quietly softly slowly quickly suddenly gently nervously angrily happily sadly repeatedly
rhythmically violently badly heavily nearby outside inside
""")

BETWEEN = _parts("""
on|in|under|behind|next to|in front of|with|without|against|over|near|inside|
through|into|full of|made of|hitting|falling on|falling into|rubbing against|covered with|tied to
""")


def article(thing: str) -> str:
    """The thing with "a" or "an" before it."""
    return f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"


class Composer:
    """Fills one of many forms with random things.

    Args:
        names: of things, in the singular.
        sounds: words for kinds of sound.
    """

    def __init__(self, names: Sequence[str], sounds: Sequence[str], seed: int) -> None:
        from wordfreq import zipf_frequency

        self.names, self.sounds = names, sounds
        self.random = np.random.default_rng(seed)
        # Everyday things more often than rare ones.
        known = np.array([max(zipf_frequency(name, "en") - 1, 0.2) for name in names])
        self.known = np.cumsum(known / known.sum())
        self.forms: list[tuple[float, Callable[[], str]]] = [
            (2.0, lambda: f"{self.name()} {self.pick(VERBS)}"),
            (1.5, lambda: f"{self.pick(QUALITIES)} {self.name()}"),
            (1.0, lambda: f"{self.name()} and {self.name()}"),
            (1.0, lambda: f"{self.name()} {self.pick(PLACES)}"),
            (1.5, lambda: f"{self.pick(self.sounds)} {self.name()}"),
            (1.5, lambda: f"{self.name()} {self.pick(self.sounds)}"),
            (1.0, lambda: f"{self.pick(self.sounds)} {self.pick(PLACES)}"),
            (2.0, lambda: f"{self.name()} {self.pick(VERBS)} {self.pick(PLACES)}"),
            (2.0, lambda: f"{article(self.rich())} {self.pick(VERBS)} {self.pick(PLACES)}"),
            (1.5, lambda: f"{self.pick(PERSONS)} {self.pick(VERBS)} {self.pick(MANNERS)}"),
            (1.0, lambda: f"{self.pick(PERSONS)} {self.pick(VERBS)} {self.pick(PLACES)}"),
            (1.5, lambda: f"{self.pick(PERSONS)} {self.pick(VERBS)} {article(self.rich())}"),
            (2.0, lambda: f"{self.rich()} {self.pick(BETWEEN)} {article(self.rich())}"),
            (1.0, lambda: f"{self.pick(VERBS)} {article(self.rich())} {self.pick(PLACES)}"),
            (2.0, self.scene),
        ]
        self.shares = np.array([share for share, _ in self.forms])
        self.shares /= self.shares.sum()

    def pick(self, words: Sequence[str]) -> str:
        return words[self.random.integers(len(words))]

    def name(self) -> str:
        place = int(np.searchsorted(self.known, self.random.random()))
        return self.names[min(place, len(self.names) - 1)]

    def rich(self) -> str:
        """A thing, half of the time with a quality."""
        quality = self.random.random() < 0.5
        return f"{self.pick(QUALITIES)} {self.name()}" if quality else self.name()

    def scene(self) -> str:
        """A sentence as one writes under a picture."""
        scene = f"{article(self.rich())} {self.pick(VERBS)}"
        scene = f"{scene} {self.pick(BETWEEN)} {article(self.rich())}"
        return f"{scene} {self.pick(PLACES)}" if self.random.random() < 0.4 else scene

    def __call__(self) -> str:
        return self.forms[self.random.choice(len(self.forms), p=self.shares)][1]()


def sound_words(ucs: Path) -> list[str]:
    """Words for kinds of sound: the synonyms of the Universal Category System (CC0)."""
    rows = json.loads(ucs.read_text(encoding="utf-8"))
    found = {word.lower() for row in rows for word in row["Synonyms"]}
    return sorted(word for word in found if word.isascii() and len(word) > 2)


def phrases(names: Sequence[str], ucs: Path, closed: set[str]) -> tuple[list[str], list[str]]:
    """Plain phrases (words and names), and composed ones, none of which is in ``closed``."""
    from wordfreq import top_n_list

    common = [w for w in top_n_list("en", 20_000) if w.isalpha() and w.isascii() and len(w) > 2]
    sounds = sound_words(ucs)
    plain = dict.fromkeys([*common[:WORDS], *names, *sounds])
    composer = Composer(names, [word for word in sounds if word not in closed], seed=0)
    composed = dict.fromkeys(composer() for _ in range(COMPOSED))
    return (
        [phrase for phrase in plain if phrase not in closed],
        [phrase for phrase in composed if phrase not in closed and phrase not in plain],
    )
