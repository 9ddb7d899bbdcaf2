"""The optimiser of a network: which of its parameters decay, and which move by orthogonal steps."""

from __future__ import annotations

import torch
from torch import nn

from tinier_yolo.training.model import DarknetModel, Weighted, batch_norm_after
from tinier_yolo.training.muon import Muon

#: The gradient of all parameters together is shortened to this length.
MAX_GRADIENT = 10.0


def make_optimizer(model: DarknetModel) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum, as the cfg's [net] says; with ``muon`` Muon for most filters beside it.

    Decay pulls on float products only. A latent binary weight's size means nothing, save for its sign's inertia.
    """
    net = model.network.options
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    turned = _turned(model) if net.muon else []
    for module in model.children_of_layers:
        binary = getattr(getattr(module, "layer", None), "binary", False)
        for name, parameter in module.named_parameters():
            if not any(parameter is other for other in turned):
                (decayed if name == "weights" and not binary else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": net.decay}, {"params": free, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    optimizer: torch.optim.Optimizer
    if net.adam:
        optimizer = torch.optim.AdamW(groups, lr=net.learning_rate, fused=True)
    else:
        optimizer = torch.optim.SGD(groups, lr=net.learning_rate, momentum=net.momentum)
    if not turned:
        return optimizer
    return Muon(turned, net.muon / net.learning_rate, net.momentum, optimizer)


def _turned(model: DarknetModel) -> list[nn.Parameter]:
    """The weights that Muon moves: all before a batch normalisation that takes its statistics from the batch.

    Not the first layer's, which has too few inputs, and so no directions to bring forward.
    """
    if not model.estimates_norms:
        return []
    layers = model.network.layers
    found = [
        module.weights
        for index, module in enumerate(model.children_of_layers)
        if isinstance(module, Weighted) and (module.norm is not None or batch_norm_after(layers, index) is not None)
    ]
    return found[1:]
