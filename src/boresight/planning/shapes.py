"""The numbers of a decoder that its memory and its arithmetic depend on; counted from a config, no weights loaded."""

from dataclasses import dataclass

from boresight.config.sections import PretrainStage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The numbers of a decoder that memory depends on; `parameters` are those of the language model."""

    parameters: int
    vocabulary_size: int
    hidden_size: int
    intermediate_size: int
    """Width of the feed-forward part that one token passes: of a mixture, its chosen and shared experts together."""
    layers: int
    query_size: int
    """Width of all queries of one token (heads times their width)."""
    key_value_size: int
    """Width of all keys of one token (heads of keys times their width); values have the same."""
    context_length: int | None = None
    gated: bool = True
    """Two matrices into the feed-forward part, multiplied (SwiGLU), or one."""
    tied: bool = True
    active_parameters: int
    """Those that one token passes; fewer than `parameters` for a mixture of experts alone."""
    adapted_experts: int = 0
    """What an adapter of rank 1 has in a block of a mixture beside attention's."""

    @property
    def is_mixture(self) -> bool:
        return self.active_parameters < self.parameters

    @property
    def head_parameters(self) -> int:
        """Of the matrix from hidden states to the vocabulary; tied, they are the embeddings too."""
        return self.vocabulary_size * self.hidden_size

    @property
    def embedding_parameters(self) -> int:
        return self.head_parameters * (1 if self.tied else 2)

    @property
    def block_parameters(self) -> int:
        """Of one block, on average."""
        return (self.parameters - self.embedding_parameters) // self.layers

    @property
    def multiplied_parameters(self) -> int:
        """Those of the blocks that one token is multiplied with: no embeddings, no head, no experts left aside."""
        return self.active_parameters - self.embedding_parameters

    @property
    def adapted_width(self) -> int:
        """Inputs and outputs of all linear layers of a block: an adapter of rank r has r times so many parameters."""
        attention = 3 * self.hidden_size + 2 * self.query_size + 2 * self.key_value_size + self.hidden_size
        if self.is_mixture:
            return attention + self.adapted_experts
        return attention + (3 if self.gated else 2) * (self.hidden_size + self.intermediate_size)

    def adapter_parameters(self, rank: int) -> int:
        """Of an adapter of that rank on every linear layer but the head (Hu et al. 2021)."""
        return rank * self.adapted_width * self.layers


def llama_shape(
    *,
    vocabulary_size: int,
    hidden_size: int,
    intermediate_size: int,
    layers: int,
    key_value_size: int | None = None,
    tied: bool,
    context_length: int | None = None,
) -> ModelShape:
    """Shape and exact parameters of a Llama-architecture model without biases (Touvron et al. 2023)."""
    key_value_size = hidden_size if key_value_size is None else key_value_size
    attention = 2 * hidden_size * hidden_size + 2 * hidden_size * key_value_size
    block = attention + 3 * hidden_size * intermediate_size + 2 * hidden_size
    embeddings = vocabulary_size * hidden_size * (1 if tied else 2)
    parameters = embeddings + layers * block + hidden_size
    return ModelShape(
        parameters=parameters,
        active_parameters=parameters,
        vocabulary_size=vocabulary_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        layers=layers,
        query_size=hidden_size,
        key_value_size=key_value_size,
        context_length=context_length,
        tied=tied,
    )


def pretrain_shape(stage: PretrainStage) -> ModelShape:
    """The model that a pretrain stage makes; its embeddings are tied."""
    return llama_shape(
        vocabulary_size=stage.vocabulary_size,
        hidden_size=stage.hidden_size,
        intermediate_size=stage.intermediate_size,
        layers=stage.layers,
        tied=True,
        context_length=stage.context_length,
    )
