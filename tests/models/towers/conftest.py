"""Tiny CLIP and SigLIP models in the hub's own format, and every tower for the contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch

from wav2clip.models.towers import load_towers
from wav2clip.models.towers.base import Towers

transformers = pytest.importorskip("transformers")

SIDE = 32
SENTENCE = "a dog barking in the rain and two cats on red boats near old church bells"
WORDS = SENTENCE.split()
TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
CLIP_HEADS = {**TOWER, "num_attention_heads": 4}


def byte_vocabulary() -> list[str]:
    """CLIP's base vocabulary: a printable character per byte, alone and at the end of a word."""
    from tokenizers.pre_tokenizers import ByteLevel

    characters = sorted(ByteLevel.alphabet())
    marks = ["<|startoftext|>", "<|endoftext|>"]
    return [*characters, *(f"{character}</w>" for character in characters), "do", "dog</w>", *marks]


def save_clip(folder: Path, seed: int = 0, projection: int = 16) -> Path:
    """A randomly initialised CLIP with tokenizer and preprocessor, as the hub lays it out."""
    pieces = byte_vocabulary()
    tokenizer = transformers.CLIPTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=[("d", "o"), ("do", "g</w>")],
        model_max_length=77,
    )
    ends = {"bos_token_id": len(pieces) - 2, "eos_token_id": len(pieces) - 1}
    torch.manual_seed(seed)
    config = transformers.CLIPConfig(
        text_config={**CLIP_HEADS, "vocab_size": len(tokenizer), **ends, "projection_dim": 16},
        vision_config={**CLIP_HEADS, "image_size": SIDE, "patch_size": 8, "projection_dim": 16},
        projection_dim=projection,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    """A randomly initialised SigLIP with a SentencePiece tokenizer, as the hub lays it out."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_sentences(),
        model_prefix=str(folder / "spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
    )
    tokenizer = transformers.SiglipTokenizer(
        str(folder / "spiece.model"), model_max_length=20, pad_token="<pad>"
    )
    torch.manual_seed(1)
    config = transformers.SiglipConfig(
        text_config={
            **CLIP_HEADS,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 20,
            "projection_size": 32,
        },
        vision_config={**CLIP_HEADS, "image_size": SIDE, "patch_size": 8},
    )
    transformers.SiglipModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(
        folder
    )
    return folder


def _sentences() -> Iterable[str]:
    for start in range(len(WORDS)):
        for length in range(1, 6):
            yield " ".join((WORDS + WORDS)[start : start + length])


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """:func:`save_clip`, for tests that need a CLIP of their own."""
    return save_clip


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_siglip(tmp_path_factory.mktemp("siglip") / "tiny-siglip")


@pytest.fixture(scope="session", params=["builtin", "clip", "siglip"])
def towers(request: pytest.FixtureRequest) -> Towers:
    if request.param == "builtin":
        return load_towers("builtin")
    return load_towers(str(request.getfixturevalue(f"{request.param}_folder")))
