"""Learning-rate policies of [net]: Darknet's own (``get_current_rate``), and a half cosine down to zero."""

from __future__ import annotations

import math

from tinier_yolo.darknet.network import NetOptions


def learning_rate(options: NetOptions, iteration: int) -> float:
    """The learning rate of an iteration (from 0): ``burn_in`` first, then the policy."""
    base = options.learning_rate
    if iteration < options.burn_in:
        return base * float(((iteration + 1) / options.burn_in) ** options.power)
    return base * _factor(options, iteration)


def _factor(options: NetOptions, iteration: int) -> float:
    match options.policy:
        case "step":
            return float(options.scale ** (iteration // options.step))
        case "steps":
            passed = (scale for step, scale in zip(options.steps, options.scales, strict=True) if step <= iteration)
            return math.prod(passed)
        case "exp":
            return float(options.gamma**iteration)
        case "poly":
            return float((1 - iteration / options.max_batches) ** options.power)
        case "sig":
            # Beyond e^700 float64 ends; the rate is 0 long before.
            return 1 / (1 + math.exp(min(700.0, options.gamma * (iteration - options.step))))
        case "cosine":
            done = (iteration - options.burn_in) / max(1, options.max_batches - options.burn_in)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        case _:
            return 1.0
