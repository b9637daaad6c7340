"""Text and image towers: the built-in pair, and any CLIP or SigLIP of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from wav2clip.models.towers.base import Towers

BUILTIN = "builtin"


def load_towers(
    name: str = BUILTIN,
    device: str | torch.device | None = None,
    dtype: str = "float32",
) -> Towers:
    """A pair of towers by name.

    Args:
        name: ``"builtin"``, or a CLIP or SigLIP by its name on the Hugging Face hub or by a local
            folder in the hub's format, for example ``"openai/clip-vit-base-patch32"``.
        device: where the networks run; the CPU by default.
        dtype: ``float32``, ``float16`` or ``bfloat16``, of a hub model's weights; the built-in
            towers are small enough to stay in float32.

    Raises:
        RegistryError: nothing of that name is cached or reachable; the message says what to put
            where.
        MissingExtraError: a hub model was asked for without the extra ``clip``.
    """
    if name == BUILTIN:
        from wav2clip.models.towers.builtin import BuiltinTowers

        return BuiltinTowers(device)
    from wav2clip.models.towers.clip import HubTowers

    return HubTowers(name, device, dtype)
