"""Detections: what a detector found on one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinier_yolo.errors import DetectionsError, UsageError


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes and scores of one image; empty when nothing was found, never None.

    Attributes:
        boxes: float32 (n, 4), xyxy in pixels of the original image.
        scores: float32 (n,) in [0, 1] for a detector of this package; any finite number for a file of somebody's.
        class_ids: int32 (n,), index into the model's class names.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.class_ids.shape != (n,):
            raise DetectionsError(
                "detections of unequal lengths",
                expected="boxes (n, 4), scores (n,), class_ids (n,)",
                found=f"{self.boxes.shape}, {self.scores.shape}, {self.class_ids.shape}",
            )

    @classmethod
    def of(cls, boxes: ArrayLike, scores: ArrayLike, class_ids: ArrayLike | None = None) -> Detections:
        """Detections from anything array-like: ``boxes`` (n, 4) xyxy, ``scores`` (n,), classes 0 where not given."""
        s = np.asarray(scores, np.float32).reshape(-1)
        ids = np.zeros(len(s), np.int32) if class_ids is None else np.asarray(class_ids, np.int32).reshape(-1)
        return cls(np.asarray(boxes, np.float32).reshape(-1, 4), s, ids)

    @classmethod
    def empty(cls) -> Detections:
        """No detections."""
        return cls.of([], [])

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], float, int]]:
        """Box (4,), score and class of each detection, in order."""
        for box, score, class_id in zip(self.boxes, self.scores, self.class_ids, strict=True):
            yield box, float(score), int(class_id)

    def __getitem__(self, index: NDArray[Any] | slice) -> Detections:
        """The detections that a slice, a mask or an index array picks."""
        return Detections(self.boxes[index], self.scores[index], self.class_ids[index])

    def to_supervision(self, class_names: Sequence[str] = ()) -> Any:
        """The same as a ``supervision.Detections``, whose trackers, annotators and zones take it.

        Args:
            class_names: a name for each class id, which becomes its ``data["class_name"]``.

        Raises:
            UsageError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError:
            raise UsageError("to_supervision() needs supervision", expected="pip install supervision") from None
        data = {"class_name": np.array([class_names[i] for i in self.class_ids])} if class_names else {}
        copies = {"xyxy": self.boxes.copy(), "confidence": self.scores.copy(), "class_id": self.class_ids.astype(int)}
        return supervision.Detections(**copies, data=data)

    def to_dataframe(self, class_names: Sequence[str] = ()) -> Any:
        """The same as a ``pandas.DataFrame``: columns x1, y1, x2, y2, score, class, a row for each detection.

        Args:
            class_names: a name for each class id; without them the column holds the ids.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UsageError("to_dataframe() needs pandas", expected="pip install pandas") from None
        columns: dict[str, Any] = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T.copy(), strict=True))
        classes = [class_names[i] for i in self.class_ids] if class_names else self.class_ids.copy()
        return pandas.DataFrame({**columns, "score": self.scores.copy(), "class": classes})

    def sorted(self) -> Detections:
        """Highest score first; equal scores keep their order."""
        return self[np.argsort(-self.scores, kind="stable")]

    def above(self, thresh: float) -> Detections:
        """Those with a score of at least ``thresh``."""
        return self[self.scores >= thresh]
