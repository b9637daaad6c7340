"""The built-in text network: a short BERT encoder whose layers are pooled into the space of CLIP.

Encoder: Devlin et al. 2019 (arXiv 1810.04805), post-norm blocks, in the dimensions of MiniLM
(Wang et al. 2020, arXiv 2002.10957), from whose weights ``tools/train_text_tower.py`` starts.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class TextConfig:
    """Dimensions of the network.

    Attributes:
        vocabulary: number of word pieces.
        width: size of a token's state.
        heads: attention heads per block.
        hidden: width of a block's feed-forward layer.
        layers: number of blocks.
        head: hidden width of the perceptron over the pooled states.
        context: longest input in word pieces, the start and the end mark included; CLIP's own
            limit is 77.
        dimension: size of an embedding.
    """

    vocabulary: int = 30522
    width: int = 384
    heads: int = 12
    hidden: int = 1536
    layers: int = 3
    head: int = 1024
    context: int = 77
    dimension: int = 512


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

    def pack_linears(self) -> TextNetwork:
        """The same network for inference on the CPU, with weights in the order of oneDNN's kernels.

        They take half as long as those that PyTorch uses otherwise. Where this build of PyTorch
        cannot keep weights so, nothing changes.
        """
        if _can_pack():
            for name, module in list(self.named_modules()):
                if isinstance(module, nn.Linear):
                    self.set_submodule(name, PackedLinear(module))
        return self


class PackedLinear(nn.Module):
    """A linear layer for inference, on the operators to which PyTorch's compiler lowers them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self._bias = linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        multiply = torch.ops.mkldnn._linear_pointwise
        y: Tensor = multiply(x, self._weight, self._bias, "none", [], "")
        return y


@functools.cache
def _can_pack() -> bool:
    """Whether PyTorch has the operators here as :class:`PackedLinear` calls them."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        with torch.inference_mode():
            PackedLinear(nn.Linear(1, 1))(torch.zeros(1, 1))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
