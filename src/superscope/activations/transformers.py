"""Which layers of a transformer to look at: the residual stream, attention's outputs, MLPs' hidden layers."""

from torch import nn

INPUT = ":input"
"""Behind a module's name: what goes into it, in place of what comes out."""


def transformer_layers(model: nn.Module) -> list[str]:
    """Return the layers of a transformer that say the most, in the model's order; none for other networks.

    A transformer has a ``ModuleList`` of blocks with attention in them. Of each block: the output of its
    attention (the last linear map in it), its MLP's hidden layer (what goes into the last linear map outside
    attention: ``NAME:input``), and its own output, the residual stream. Of the rest: token embeddings and the
    norms outside the blocks. Positions' embeddings, rotary ones too, and the head's logits are passed over.
    """
    named = dict(model.named_modules())
    blocks = _blocks(named)
    if not blocks:
        return []
    found = [name for block in blocks for name in _of_block(named, block)]
    found += _outside(named, blocks)
    order = {name: place for place, name in enumerate(named)}
    last = {block: max(order[name] for name in named if _within(name, block)) for block in blocks}
    # a block's output comes after all that is in it
    return sorted(found, key=lambda name: last.get(name, order[name.removesuffix(INPUT)]))


def _blocks(named: dict[str, nn.Module]) -> list[str]:
    blocks: list[str] = []
    for name, module in named.items():
        if not isinstance(module, nn.ModuleList) or any(_within(name, block) for block in blocks):
            continue
        children = [f"{name}.{child}" if name else child for child in module._modules]  # noqa: SLF001
        if children and all(_attention(named, child) for child in children):
            blocks += children
    return blocks


def _of_block(named: dict[str, nn.Module], block: str) -> list[str]:
    attention = _attention(named, block)
    found = []
    for name in attention:
        linear = [each for each in named if _within(each, name) and _is_linear(named[each])]
        # PyTorch's own attention uses its output map as weights, without calling it
        found.append(name if isinstance(named[name], nn.MultiheadAttention) or not linear else linear[-1])
    outside = [
        name
        for name in named
        if _within(name, block)
        and _is_linear(named[name])
        and not any(_within(name, each) for each in attention)
    ]
    return [*found, *(f"{name}{INPUT}" for name in outside[-1:]), block]


def _attention(named: dict[str, nn.Module], block: str) -> list[str]:
    """Return the attention modules in a block, the outermost ones of each."""
    found: list[str] = []
    for name, module in named.items():
        inside = name != block and _within(name, block) and not any(_within(name, each) for each in found)
        if inside and "attention" in type(module).__name__.lower():
            found.append(name)
    return found


def _outside(named: dict[str, nn.Module], blocks: list[str]) -> list[str]:
    found: list[str] = []
    for name, module in named.items():
        kind, last = type(module).__name__.lower(), name.rpartition(".")[2].lower()
        if not name or any(_within(name, each) or _within(each, name) for each in (*blocks, *found)):
            continue
        tokens = "embed" in kind and "rotary" not in kind and "pos" not in kind + last and last != "wpe"
        if tokens or "norm" in kind:
            found.append(name)
    return found


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ in ("Conv1D", "Linear")


def _within(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.")
