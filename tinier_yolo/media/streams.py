"""Streams: read until the user has enough, and connected again when they break off."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from tinier_yolo.errors import MediaError, TinierYoloError
from tinier_yolo.media.addresses import shown
from tinier_yolo.media.captures import Frame
from tinier_yolo.media.video import VideoReader

#: Seconds before each try to connect again; frames that come start the row anew.
PAUSES = (1, 2, 4, 8, 16, 30, 30, 30, 30, 30)

Made = TypeVar("Made")


class StreamReader(VideoReader):
    """As :class:`VideoReader`, of an address; one that breaks off is connected again, after a growing pause.

    What has an end, a file on a web server, is read once.

    Args:
        address: with its scheme.
        tell: is given a line when the stream breaks off.

    Raises:
        MediaError: the address cannot be opened in the first place.
    """

    def __init__(self, address: str, tell: Callable[[str], None]) -> None:
        super().__init__(address)
        self._address, self._tell = address, tell

    def stamped(self, prepare: Callable[[Frame], Made]) -> Generator[tuple[float, Made]]:
        """See :meth:`VideoReader.stamped`; times go on over the gaps.

        Raises:
            MediaError: the stream cannot be connected again.
        """
        start, offset, tries = time.monotonic(), 0.0, 0
        reader: VideoReader | None = None
        problem: TinierYoloError = MediaError("the stream has ended", path=shown(self._address))
        while True:
            try:
                with closing(reader.stamped(prepare) if reader else super().stamped(prepare)) as frames:
                    for moment, made in frames:
                        tries = 0
                        yield offset + moment, made
                if self.frame_count is not None:
                    return
            except MediaError as broken:
                problem = broken
            reader = None
            while reader is None:
                reader, problem = self._again(tries, problem)
                tries += 1
            offset = time.monotonic() - start

    def _again(self, tries: int, problem: TinierYoloError) -> tuple[VideoReader | None, TinierYoloError]:
        if tries == len(PAUSES):
            raise MediaError(f"given up after {tries} tries", path=shown(self._address), found=problem.problem)
        self._tell(f"{problem}; trying again in {PAUSES[tries]} s")
        time.sleep(PAUSES[tries])
        try:
            return VideoReader(self._address), MediaError("the stream has ended", path=shown(self._address))
        except MediaError as again:
            return None, again
