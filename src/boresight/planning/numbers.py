"""Bytes of a number, by what the number is: the formats that training is done in."""

from dataclasses import dataclass, replace

GIB = 2**30
FOUR_BIT_BYTES = 0.5 + 0.127 / 8  # a number and its share of the doubly quantised scales (Dettmers et al. 2023)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormats:
    """Bytes of one number. `product`: of what the blocks keep for the backward pass."""

    weight: int
    """Of a trained weight as the model holds it."""
    master: int = 0
    """Of the copy that the optimizer updates beside it."""
    gradient: int
    moment: int
    """Of each of Adam's two moments."""
    embedding_moment: int | None = None
    """The same for embeddings, where they are spared."""
    frozen: int
    product: int

    @property
    def optimizer(self) -> int:
        """Bytes a trained parameter beyond weight and gradient: K in Rajbhandari et al. 2020."""
        return self.master + 2 * self.moment

    def with_8bit_optimizer(self) -> "NumberFormats":
        """Moments of a byte each, those of embeddings in float32 (Dettmers et al. 2022, arXiv:2110.02861)."""
        return replace(self, moment=1, embedding_moment=4)


FORMATS = {
    "float32": NumberFormats(weight=4, gradient=4, moment=4, frozen=4, product=4),
    "bfloat16": NumberFormats(weight=4, gradient=4, moment=4, frozen=4, product=2),
    "mixed": NumberFormats(weight=2, master=4, gradient=2, moment=4, frozen=2, product=2),
    "pure_bfloat16": NumberFormats(weight=2, gradient=2, moment=2, frozen=2, product=2),
}
"""float32 and bfloat16: as this package trains, with weights in float32 and, under bfloat16, products in 16 bits.
mixed: 16-bit weights and gradients beside float32 masters, as Megatron and DeepSpeed (Micikevicius et al. 2018).
pure_bfloat16: everything in 16 bits, moments too, as torchtune."""
