"""The built-in text network: a short BERT encoder whose layers are pooled into the space of CLIP.

Encoder: Devlin et al. 2019 (arXiv 1810.04805), post-norm blocks, in the dimensions of MiniLM
(Wang et al. 2020, arXiv 2002.10957), from whose weights ``tools/train_text_tower.py`` starts.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wav2clip.models.config import TextConfig
from wav2clip.models.towers.packed import load_packed


class Block(nn.Module):
    """Self-attention and a GELU perceptron, each added to its input and then normalised."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm1 = nn.LayerNorm(config.width, eps=1e-12)
        self.up = nn.Linear(config.width, config.hidden)
        self.down = nn.Linear(config.hidden, config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=None if mask is None else mask[:, None, None, :]
        )
        x = self.norm1(x + self.out(attended.transpose(1, 2).reshape(batch, length, width)))
        return torch.as_tensor(self.norm2(x + self.down(F.gelu(self.up(x)))))


def _table(rows: int, width: int) -> nn.Embedding:
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))


class TextNetwork(nn.Module):
    """Word pieces to embeddings (not normalised).

    Every layer's states, the input's included, are averaged over the tokens and the averages are
    joined: the lower layers know the word, the upper ones its meaning in the phrase.
    """

    def __init__(self, config: TextConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TextConfig()
        # Drawing random numbers for them takes longer than reading the ones that replace them.
        self.tokens = _table(config.vocabulary, config.width)
        self.positions = _table(config.context, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = nn.Sequential(
            nn.Linear(config.width * (config.layers + 1), config.head),
            nn.GELU(),
            nn.Linear(config.head, config.dimension),
        )

    def features(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Joined layer averages (batch, width * (layers + 1)) of word pieces (batch, length).

        Args:
            ids: indices into the vocabulary, at most ``config.context`` per row.
            mask: True where ``ids`` holds a token, False where it pads; None if nothing pads.
        """
        x = self.norm(self.tokens(ids) + self.positions.weight[: ids.shape[1]])
        weights = torch.ones_like(ids) if mask is None else mask
        share = (weights / weights.sum(1, keepdim=True)).to(x.dtype).unsqueeze(1)
        pooled = [share @ x]
        for block in self.blocks:
            x = block(x, mask)
            pooled.append(share @ x)
        return torch.cat(pooled, dim=-1).squeeze(1)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embeddings (batch, dimension)."""
        return torch.as_tensor(self.head(self.features(ids, mask)))


def load_text_network(weights: Path) -> TextNetwork:
    """The network for inference, with the weights of a packed file.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    with torch.device("meta"):
        network = TextNetwork()
    network.load_state_dict(load_packed(weights), assign=True)
    return network.eval().requires_grad_(False)
