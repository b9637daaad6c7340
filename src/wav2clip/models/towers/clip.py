"""Genuine CLIP and SigLIP, by name on the Hugging Face hub or from a local folder.

CLIP: Radford et al. 2021 (arXiv 2103.00020). SigLIP: Zhai et al. 2023 (arXiv 2303.15343).
"""

from __future__ import annotations

import hashlib
import importlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wav2clip.downloads import offline
from wav2clip.errors import InputError, MissingExtraError, RegistryError
from wav2clip.files import display
from wav2clip.models.space import CLIP_VIT_B32, Space
from wav2clip.models.towers.base import TEXT_BATCH, Embeddings, Towers
from wav2clip.models.towers.pixels import check_pixels, crop_square

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT = "openai/clip-vit-base-patch32"
KINDS = ("clip", "siglip")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

SPACES = {DEFAULT: CLIP_VIT_B32}
"""Spaces of published models by hub name; a local folder counts by the last part of its name."""


class HubTowers(Towers):
    """A CLIP or SigLIP through transformers, with its own tokenizer and picture preparation.

    Args:
        name: hub name or local folder.
        device: where it runs; the CPU by default.
        dtype: ``float32``, or ``float16`` or ``bfloat16`` for half the memory.

    Raises:
        RegistryError: not cached and not reachable, or no CLIP or SigLIP.
        MissingExtraError: transformers is not installed.
    """

    differentiable = True

    def __init__(
        self,
        name: str = DEFAULT,
        device: str | torch.device | None = None,
        dtype: str = "float32",
    ) -> None:
        if dtype not in DTYPES:
            raise InputError(f"got dtype {dtype!r}, expected one of {', '.join(DTYPES)}")
        self.name = name
        self.device = torch.device(device or "cpu")
        model, self._tokenizer, self._processor = _load(name, DTYPES[dtype])
        self._model = model.eval().requires_grad_(False).to(self.device)
        config = model.config
        self._siglip = config.model_type == "siglip"
        self._context = int(config.text_config.max_position_embeddings)
        self._side = int(config.vision_config.image_size)
        self.logit_scale = float(model.logit_scale.float().exp())
        self.space = self._find_space()
        # Means are stored for the one space whose genuine embeddings they were taken from.
        self.means = _stored_means() if self.space == CLIP_VIT_B32 else {}

    @cached_property
    def fingerprint(self) -> str:
        total = hashlib.sha256()
        for key, tensor in sorted(self._model.state_dict().items()):
            total.update(key.encode())
            total.update(tensor.reshape(-1).contiguous().cpu().view(torch.uint8).numpy())
        return total.hexdigest()[:16]

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See :meth:`Towers.encode_pixels`; cropped and scaled as the model's own preparation."""
        check_pixels(pixels)
        pixels = pixels.to(self.device, torch.float32)
        if getattr(self._processor, "do_center_crop", False):
            pixels = crop_square(pixels, self._side)
        elif pixels.shape[2:] != (self._side, self._side):
            size = (self._side, self._side)
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean = pixels.new_tensor(self._processor.image_mean).view(3, 1, 1)
        std = pixels.new_tensor(self._processor.image_std).view(3, 1, 1)
        return F.normalize(self._see((pixels - mean) / std), dim=-1)

    @torch.inference_mode()
    def _texts(self, phrases: list[str]) -> Embeddings:
        embeddings = np.empty((len(phrases), self.dimension), np.float32)
        order = sorted(range(len(phrases)), key=lambda row: len(phrases[row]))
        for start in range(0, len(order), TEXT_BATCH):
            rows = order[start : start + TEXT_BATCH]
            inputs = self._tokenizer(
                [phrases[row] for row in rows],
                # SigLIP was trained on padded text and pads without a mask.
                padding="max_length" if self._siglip else True,
                truncation=True,
                max_length=self._context,
                return_tensors="pt",
            )
            names = ("input_ids",) if self._siglip else ("input_ids", "attention_mask")
            arguments = {name: inputs[name].to(self.device) for name in names}
            vectors = _pooled(self._model.get_text_features(**arguments))
            embeddings[rows] = vectors.float().cpu().numpy()
        return embeddings

    @torch.inference_mode()
    def _images(self, pictures: list[Image]) -> Embeddings:
        pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        embeddings: Embeddings = self._see(pixels.to(self.device)).cpu().numpy()
        return embeddings

    def _see(self, pixel_values: Tensor) -> Tensor:
        vectors = self._model.get_image_features(pixel_values=pixel_values.to(self._model.dtype))
        return _pooled(vectors).float()

    def _find_space(self) -> Space:
        """The named space of a known model; otherwise one named after the model and its weights.

        Two copies of one model share a space wherever they lie; two models never do.
        """
        config = self._model.config
        projected = getattr(config, "projection_dim", None) or config.vision_config.hidden_size
        dimension = int(config.text_config.projection_size if self._siglip else projected)
        last = Path(self.name).name
        for name, space in SPACES.items():
            same = Path(name).name == last if Path(self.name).is_dir() else name == self.name
            if same and space.dimension == dimension:
                return space
        return Space(f"{last}@{self.fingerprint}", dimension)


def _load(name: str, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """Model, tokenizer and picture preparation. No code of the repository is ever run."""
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise MissingExtraError(
            f"{name} needs transformers: pip install 'wav2clip[clip]'"
        ) from error
    local = {"local_files_only": offline() or Path(name).is_dir()}
    major = int(transformers.__version__.split(".")[0])
    pil = {"backend": "pil"} if major >= 5 else {"use_fast": False}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **local)
        if config.model_type not in KINDS:
            raise RegistryError(
                f"{display(name)} is a {config.model_type}, expected one of {', '.join(KINDS)}"
            )
        loader = transformers.SiglipModel if config.model_type == "siglip" else None
        model = (loader or transformers.CLIPModel).from_pretrained(name, dtype=dtype, **local)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **local)
        processor = transformers.AutoImageProcessor.from_pretrained(name, **pil, **local)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RegistryError(_how_to_get(name, error)) from error
    return model, tokenizer, processor


def _how_to_get(name: str, error: Exception) -> str:
    files = "config.json, model.safetensors, preprocessor_config.json and the tokenizer's files"
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if Path(name).is_dir():
        return f"{display(name)} cannot be loaded ({first}); the folder must hold {files}"
    return (
        f"{display(name)} is neither cached nor reachable nor a local folder ({first}). With a "
        f"network, load it once; without, copy {files} from https://huggingface.co/{name} into a "
        "folder and give that folder's path, or use the towers 'builtin', which need no download"
    )


def _pooled(output: Any) -> Tensor:
    """The projected vectors: transformers 5 wraps them, transformers 4 does not."""
    vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return vectors


def _stored_means() -> dict[str, Embeddings]:
    from wav2clip.models.towers.builtin import BuiltinTowers

    return BuiltinTowers().means
