"""How real weights become integers of a format: each to the nearest, or each making up for the errors before it.

Source of the second: Frantar et al. 2022, "GPTQ" (after Hassibi and Stork 1993). What counts is the error of a layer's
sums, (w - q) H (w - q)^T with H the second moments of what the weights are multiplied with. Weights are rounded one
after the other, and those that are left take up the error so far. Nothing is trained; the bias is the last weight, of
an input that is always 1, so that a shifted mean is made good too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.fixed_point.number_format import MAX_FRACTION, NumberFormat
from tinier_yolo.quantization.post_training.folding import Float64, FoldedLayer

#: Added to the diagonal of the moments, as a part of its mean: channels that are always 0 have no inverse.
DAMPING = 0.01
#: Columns whose errors are passed on together.
BLOCK = 64


@dataclass(frozen=True, eq=False)
class RoundedWeights:
    """The weights of a layer in a format.

    Attributes:
        numbers: the format.
        integers: int16, in the shape of the weights.
        biases: float64 (filters,), what they should be beside these weights.
    """

    numbers: NumberFormat
    integers: NDArray[np.int16]
    biases: Float64


class Rounding(Protocol):
    """Rounds the weights of a layer."""

    def __call__(self, layer: FoldedLayer, numbers: NumberFormat) -> RoundedWeights:
        """The weights in a format."""
        ...

    def better(self, layer: FoldedLayer, numbers: NumberFormat, highest: int) -> NumberFormat:
        """A binary point near that of ``numbers``, at most ``highest``, that suits the layer better, or the same."""
        ...


class Nearest:
    """Each weight to the nearest."""

    def __call__(self, layer: FoldedLayer, numbers: NumberFormat) -> RoundedWeights:
        """The weights in a format."""
        return RoundedWeights(numbers, numbers.encode(layer.weights).astype(np.int16), layer.biases)

    def better(self, _layer: FoldedLayer, numbers: NumberFormat, _highest: int) -> NumberFormat:
        """The same: the nearest integers have the best SQNR where the format was chosen by it."""
        return numbers


@dataclass(eq=False)
class Compensated:
    """Each weight makes up for the errors of those before it.

    Attributes:
        moments: float64 (n + 1, n + 1), the mean of x x^T, x the n values that a filter's weights are multiplied with,
            and a 1.
    """

    moments: Float64
    _damped: Float64 = field(init=False)
    _order: NDArray[np.intp] = field(init=False)
    _upper: Float64 = field(init=False)
    _made: dict[NumberFormat, tuple[float, RoundedWeights]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        diagonal = np.diag(self.moments)[:-1]
        # Large inputs first: the many small ones are left to make up for them. The bias comes last.
        self._order = np.append(np.argsort(-diagonal, kind="stable"), len(diagonal))
        own = np.full(len(diagonal), DAMPING * diagonal.mean() + 1e-12)
        self._damped = self.moments + np.diag(np.append(own, 1e-9))
        ordered = self._damped[np.ix_(self._order, self._order)]
        self._upper = np.linalg.cholesky(np.linalg.inv(ordered)).T

    def __call__(self, layer: FoldedLayer, numbers: NumberFormat) -> RoundedWeights:
        """The weights in a format."""
        return self._rounded(layer, numbers)[1]

    def better(self, layer: FoldedLayer, numbers: NumberFormat, highest: int) -> NumberFormat:
        """That of one bit more or less behind the point with the least error of the layer's sums."""
        fractions = (numbers.fraction, numbers.fraction + 1, numbers.fraction - 1)
        near = [
            NumberFormat(numbers.bits, fraction, numbers.signed)
            for fraction in fractions
            if -MAX_FRACTION <= fraction <= highest
        ]
        return min(near, key=lambda own: self._rounded(layer, own)[0], default=numbers)

    def _rounded(self, layer: FoldedLayer, numbers: NumberFormat) -> tuple[float, RoundedWeights]:
        if numbers not in self._made:
            self._made[numbers] = self._round(layer, numbers)
        return self._made[numbers]

    def _round(self, layer: FoldedLayer, numbers: NumberFormat) -> tuple[float, RoundedWeights]:
        real = np.column_stack([layer.weights.reshape(len(layer.weights), -1), layer.biases])
        left, rounded, upper = real[:, self._order], np.empty_like(real), self._upper
        columns = left.shape[1] - 1
        for start in range(0, columns, BLOCK):
            end = min(start + BLOCK, columns)
            errors = np.empty((len(left), end - start))
            for column in range(start, end):
                rounded[:, column] = numbers.rounded(left[:, column])
                errors[:, column - start] = (left[:, column] - rounded[:, column]) / upper[column, column]
                rest = slice(column + 1, end)
                left[:, rest] -= np.outer(errors[:, column - start], upper[column, rest])
            left[:, end:] -= errors @ upper[start:end, end:]
        rounded[:, columns] = left[:, columns]
        inverse = np.argsort(self._order)
        difference = real - rounded[:, inverse]
        noise = float(np.einsum("fi,fi->", difference @ self._damped, difference))
        integers = numbers.encode(rounded[:, inverse[:-1]]).reshape(layer.weights.shape).astype(np.int16)
        return noise, RoundedWeights(numbers, integers, rounded[:, columns])
