"""``tinier-yolo detect``: find faces in images, folders, videos or a camera."""

from __future__ import annotations

import argparse
import io
import sys
import time
import traceback
from contextlib import ExitStack, closing
from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from tinier_yolo.cli.options import size
from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.detection.formats import FORMATS
from tinier_yolo.errors import TinierYoloError
from tinier_yolo.shipped import default_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tinier_yolo.bulk.local import Found
    from tinier_yolo.detection.detector import Detector
    from tinier_yolo.media.display import Window
    from tinier_yolo.media.sources import Source
    from tinier_yolo.media.video import VideoReader
    from tinier_yolo.output_folder import OutputFolder

    Picture = NDArray[np.uint8]

_EPILOG = """
Results go to stdout (json: one document; jsonl: a line for each picture; csv: a row for each detection; fddb: FDDB's
records) or into the folder --out (yolo: NAME.txt, labels as Darknet reads them, and classes.txt; wider:
EVENT/NAME.txt). Pictures and videos with the boxes drawn go into --out, unless --no-save is given; folders below a
folder are kept, and a second file of the same name becomes NAME-2. Progress and messages go to stderr.

Exit code: 0 fine; 1 some sources failed, the others are done; 2 nothing could be done, or bad usage. Ctrl-C ends a
camera; what was written until then is whole.
"""
_SOURCES = """images, folders (searched to any depth), patterns such as 'photos/**/*.jpg', .txt files that list images,
video files, or the number of a camera"""
#: Picture formats that a source's own suffix may keep; others are written as PNG.
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

#: A video that gives less than this part of the frames that its header promises ends early.
_MOST = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=_SOURCES)
    parser.add_argument("--model", metavar="FILE", help="an .ifq, or .weights with --cfg (default: the shipped model)")
    parser.add_argument("--cfg", metavar="FILE", help="the cfg of .weights")
    parser.add_argument("--names", metavar="FILE", help="class names of .weights, one a line")
    parser.add_argument("--thresh", type=float, default=THRESH, help=f"least score, 0..1 (default {THRESH})")
    parser.add_argument("--nms", type=float, default=NMS, help=f"largest IoU of two boxes, 0..1 (default {NMS})")
    parser.add_argument(
        "--size",
        type=size,
        metavar="N|WxH",
        help="the network's input (default: the model's own); a larger one finds smaller faces, in more time",
    )
    parser.add_argument("--out", metavar="DIR", default="out", help="folder for what is written (default out)")
    parser.add_argument("--format", choices=tuple(FORMATS), default="jsonl", help="form of the results (default jsonl)")
    parser.add_argument("--show", action="store_true", help="show the pictures in a window; q or Escape ends")
    parser.add_argument("--no-save", action="store_true", help="write no pictures and videos")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads for one image (default 1)")


def run(args: argparse.Namespace) -> int:
    """Detect in every source; returns 1 where some failed, 2 where all did.

    Raises:
        TinierYoloError: the model or the options are bad, or the output folder cannot be written.
    """
    from tinier_yolo.datasets.labels import load_names
    from tinier_yolo.detection.detector import Detector, check_thresholds
    from tinier_yolo.media.sources import expand
    from tinier_yolo.output_folder import OutputFolder

    check_thresholds(args.thresh, args.nms)
    sources, problems = expand(args.sources, skip=args.out)
    # Beside YOLO's labels stands classes.txt.
    reserved = ("classes",) if args.format == "yolo" else ()
    output = OutputFolder(args.out, [*args.sources, *(source.label for source in sources)], reserved)
    if not args.no_save or FORMATS[args.format].makes_files:
        output.check()
    if sources:
        names = load_names(args.names) if args.names else None
        detector = Detector.load(args.model or default_model(), args.cfg, args.size, args.threads, names)
    for problem in problems:
        report(problem, args.debug)
    if not sources:
        return 2
    with _Session(args, detector, output, len(sources)) as session:
        for source in sources:
            if not session.process(source):
                break
    if session.pictures == 0:
        return 2
    return 1 if problems or session.failures else 0


class _Session:
    """One run over all sources: owns the writer of results, the progress bar and the window, and counts.

    Attributes:
        pictures: images and frames that are done.
        faces: detections in them.
        failures: sources that failed.
    """

    def __init__(self, args: argparse.Namespace, detector: Detector, output: OutputFolder, sources: int) -> None:
        from tqdm import tqdm

        from tinier_yolo.detection.formats.result import Target
        from tinier_yolo.detection.formats.writers import open_writer

        self.pictures = self.faces = self.failures = 0
        self._args, self._detector, self._output = args, detector, output
        self._thresholds = args.thresh, args.nms
        self._window = _open_window() if args.show else None
        self._draws = self._window is not None or not args.no_save
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Names that the terminal's encoding cannot express are no reason to stop.
            sys.stdout.reconfigure(errors="backslashreplace")
        self._writer = open_writer(args.format, Target(sys.stdout, output.folder, detector.class_names))
        # disable=None: no bar where stderr is not a terminal.
        self._bar = tqdm(total=sources, unit="frame", file=sys.stderr, disable=None, leave=False)
        self._start = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Also after Ctrl-C: results and messages end where they are.
        self._bar.close()
        self._writer.close()
        if self._window:
            self._window.close()
        if self.pictures:
            counts = f"pictures: {self.pictures}, detections: {self.faces}"
            # Of the first picture most is the start of the program.
            rate = (self.pictures - 1) / (time.perf_counter() - self._start)
            speed = f", {rate:.1f} frames/s" if self.pictures > 1 else ""
            saved = "" if self._args.no_save else f"; drawn into {self._output.folder}"
            print(f"{counts}{speed}{saved}", file=sys.stderr)

    def process(self, source: Source) -> bool:
        """Detect in one source and report what is wrong with it; False where the user wants no more."""
        try:
            return self._image(source) if source.kind == "image" else self._video(source)
        except TinierYoloError as problem:
            self.failures += 1
            self._bar.clear()
            report(problem, self._args.debug)
            return True

    def _image(self, source: Source) -> bool:
        from tinier_yolo.bulk.local import detect_image
        from tinier_yolo.media.images import write_image

        found = detect_image(source.label, self._detector, *self._thresholds, keep=self._draws)
        suffix = PurePath(source.label).suffix
        suffix = suffix if suffix.lower() in _PICTURE_SUFFIXES else ".png"
        name = self._output.claim(source.name, suffix, ".txt")
        drawn = self._done(found, source, name)
        if drawn is not None and not self._args.no_save:
            write_image(self._output.path(name, suffix), drawn)
        return self._show(drawn, wait=True)

    def _video(self, source: Source) -> bool:
        from tinier_yolo.media.video import VideoReader

        try:
            with VideoReader(int(source.label) if source.kind == "camera" else source.label) as reader:
                return self._frames(source, reader)
        except KeyboardInterrupt:
            # A camera has no other end.
            if source.kind != "camera":
                raise
            return False

    def _frames(self, source: Source, reader: VideoReader) -> bool:
        from tinier_yolo.bulk.local import detect_frames
        from tinier_yolo.media.video import VideoWriter

        name = self._output.claim(source.name, ".mp4", ".txt")
        self._bar.total += (reader.frame_count or 1) - 1
        done, video = 0, None
        with ExitStack() as stack:
            frames = detect_frames(reader, self._detector, *self._thresholds, keep=self._draws)
            for found in stack.enter_context(closing(frames)):
                drawn = self._done(found, source, f"{name}/{done:06d}", done)
                done += 1
                if drawn is not None and not self._args.no_save:
                    if video is None:
                        shape = drawn.shape[1], drawn.shape[0]
                        video = stack.enter_context(VideoWriter(self._output.path(name, ".mp4"), reader.fps, shape))
                    video.write(drawn)
                if not self._show(drawn, wait=False):
                    return False
        if reader.frame_count and done < _MOST * reader.frame_count:
            self._tell(f"{source.label}: the video ends early, after {done} of about {reader.frame_count} frames")
        return True

    def _done(self, found: Found, source: Source, name: str, frame: int | None = None) -> Picture | None:
        """Write the result of one picture; returns the picture, if it is wanted, with the boxes drawn."""
        from tinier_yolo.detection.formats.result import Result
        from tinier_yolo.media.drawing import draw_detections

        self._bar.clear()
        self._writer.write(Result(source.label, name, *found.size, found.detections, frame))
        self.pictures += 1
        if self.pictures == 1:
            self._start = time.perf_counter()
        self.faces += len(found.detections)
        self._bar.update()
        return None if found.rgb is None else draw_detections(found.rgb, found.detections, self._detector.class_names)

    def _show(self, picture: Picture | None, wait: bool) -> bool:
        return self._window is None or picture is None or self._window.show(picture, wait)

    def _tell(self, message: str) -> None:
        self._bar.clear()
        print(f"tinier-yolo: {message}", file=sys.stderr)


def report(problem: TinierYoloError, debug: bool) -> None:
    """Tell of one source that failed, in one line, while the others go on."""
    if debug:
        traceback.print_exception(problem)
    print(f"tinier-yolo: {problem}", file=sys.stderr)


def _open_window() -> Window | None:
    from tinier_yolo.media.display import Window, has_display

    if has_display():
        return Window()
    print("tinier-yolo: no display here: --show is left out", file=sys.stderr)
    return None
