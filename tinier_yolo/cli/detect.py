"""``tinier-yolo detect``: find faces in images, folders, videos or a camera."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from contextlib import ExitStack, closing
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol, Self

from tinier_yolo.cli import detect_bulk
from tinier_yolo.cli.options import size, tiles
from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.detection.formats import FORMATS
from tinier_yolo.errors import MediaError, TinierYoloError, printable
from tinier_yolo.shipped import default_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tinier_yolo.bulk.local import Found
    from tinier_yolo.detection.detector import Detector
    from tinier_yolo.detection.tiles import TiledDetector
    from tinier_yolo.media.display import Window
    from tinier_yolo.media.sources import Source
    from tinier_yolo.media.video import VideoReader
    from tinier_yolo.media.video_writer import VideoWriter
    from tinier_yolo.output_folder import OutputFolder

    Picture = NDArray[np.uint8]

_EPILOG = """
Results go to stdout (json: one document; jsonl: a line for each picture; csv: a row for each detection; coco: COCO's
annotations; fddb: FDDB's records) or into the folder --out (yolo: NAME.txt, labels as Darknet reads them, and
classes.txt; wider: EVENT/NAME.txt). Pictures and videos with the boxes drawn go into --out, unless --no-save is given;
folders below a folder are kept, and a second file of the same name becomes NAME-2, which is said. Progress and messages
go to stderr.

A stream is followed until Ctrl-C, and connected again when it breaks off; streams that are named one after the other
are followed at once. PyAV (pip install av) adds: interlaced videos and those of browsers are read, and
what is written is H.264 with the sound of the source.

Exit code: 0 fine; 1 some sources failed, the others are done; 2 nothing could be done, or bad usage. Ctrl-C ends a
camera; what was written until then is whole.
"""
_SOURCES = """images, folders (searched to any depth), patterns such as 'photos/**/*.jpg', .txt files that list images,
videos, rtsp://, http:// and https:// addresses, .streams files that list them, - for an image on stdin, or the number
of a camera"""
#: Picture formats that a source's own suffix may keep; others are written as PNG.
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

#: A video that gives less than this part of the frames that its header promises ends early.
_MOST = 0.9
#: Sources with another name than their own that are told of one by one; the others are counted.
_TOLD = 3


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
    parser.add_argument(
        "--tiles",
        type=tiles,
        metavar="WxH[:OVERLAP]",
        help="look at the picture in tiles too, for small faces in large pictures; faces up to the overlap are found "
        "in one tile (pixels; default a quarter of the smaller side)",
    )
    parser.add_argument("--out", metavar="DIR", default="out", help="folder for what is written (default out)")
    formats = (*FORMATS, "parquet")
    parser.add_argument("--format", choices=formats, default="jsonl", help="form of the results (default jsonl)")
    parser.add_argument("--show", action="store_true", help="show the pictures in a window; q or Escape ends")
    parser.add_argument("--no-save", action="store_true", help="write no pictures and videos")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads for one image (default 1)")
    detect_bulk.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Detect in every source; returns 1 where some failed, 2 where all did.

    Raises:
        TinierYoloError: the model or the options are bad, or the output folder cannot be written.
    """
    detect_bulk.check(args)
    if args.shard is not None:
        return detect_bulk.run(args)
    from tinier_yolo.datasets.labels import load_names
    from tinier_yolo.detection.detector import check_thresholds
    from tinier_yolo.detection.tiles import load
    from tinier_yolo.media.sources import expand
    from tinier_yolo.output_folder import OutputFolder

    check_thresholds(args.thresh, args.nms)
    sources, problems, notes = expand(args.sources, skip=args.out)
    # Beside YOLO's labels stands classes.txt.
    reserved = ("classes",) if args.format == "yolo" else ()
    output = OutputFolder(args.out, [*args.sources, *(source.label for source in sources)], reserved)
    if not args.no_save or FORMATS[args.format].makes_files:
        output.check()
    if sources:
        names = load_names(args.names) if args.names else None
        model = (args.model or default_model(), args.cfg, args.size, args.threads, names)
        detector = load(args.tiles, *model, _pictures(sources, args.tiles))
    for problem in problems:
        report(problem, args.debug)
    for note in notes:
        print(f"tinier-yolo: {printable(note)}", file=sys.stderr)
    if not sources:
        return 2
    with _Session(args, detector, output, len(sources)) as session:
        for together in _groups(sources):
            if not session.process(together):
                break
    if session.pictures == 0:
        return 2
    return 1 if problems or session.failures else 0


def _pictures(sources: list[Source], tiles: tuple[int, int, int] | None) -> int | None:
    """How often the network will run, where that is known."""
    return None if tiles or any(source.kind != "image" for source in sources) else len(sources)


def _groups(sources: list[Source]) -> list[list[Source]]:
    """Streams that follow each other are read together, all else one by one."""
    groups: list[list[Source]] = []
    for source in sources:
        if source.kind == "stream" and groups and groups[-1][0].kind == "stream":
            groups[-1].append(source)
        else:
            groups.append([source])
    return groups


class _Session:
    """One run over all sources: owns the writer of results, the progress bar and the window, and counts.

    Attributes:
        pictures: images and frames that are done.
        faces: detections in them.
        failures: sources that failed.
        saves: whether pictures and videos are written.
        drawn: pictures and videos that were written.
    """

    def __init__(
        self, args: argparse.Namespace, detector: Detector | TiledDetector, output: OutputFolder, sources: int
    ) -> None:
        from tinier_yolo.detection.formats.result import Target
        from tinier_yolo.detection.formats.writers import open_writer

        self.pictures = self.faces = self.failures = self.drawn = self._renamed = 0
        self._args, self._detector, self._output = args, detector, output
        self._thresholds = args.thresh, args.nms
        self._window = _open_window() if args.show else None
        self.saves = not args.no_save
        self._draws = self._window is not None or self.saves
        self._writer = open_writer(args.format, Target(sys.stdout, output.folder, detector.class_names))
        self._bar = _progress_bar(sources)
        self._start = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Also after Ctrl-C: results and messages end where they are.
        self._bar.close()
        self._writer.close()
        if self._window:
            self._window.close()
        if self._renamed > _TOLD:
            self.tell(f"{self._renamed} sources have another name in the output than their own")
        if self.pictures:
            counts = f"pictures: {self.pictures}, detections: {self.faces}"
            # Of the first picture most is the start of the program.
            rate = (self.pictures - 1) / (time.perf_counter() - self._start)
            speed = f", {rate:.1f} frames/s" if self.pictures > 1 else ""
            saved = f"; drawn into {printable(str(self._output.folder))}" if self.drawn else ""
            print(f"{counts}{speed}{saved}", file=sys.stderr)

    def process(self, sources: list[Source]) -> bool:
        """Detect in a source, or in several streams at once, and report what is wrong; False for no more."""
        source = sources[0]
        try:
            if source.kind == "stream":
                return self._streams(sources)
            return self._image(source) if source.kind == "image" else self._video(source)
        except TinierYoloError as problem:
            self._fail(problem)
            return True

    def _fail(self, problem: TinierYoloError) -> None:
        self.failures += 1
        self._bar.clear()
        report(problem, self._args.debug)

    def _image(self, source: Source) -> bool:
        from tinier_yolo.bulk.local import detect_image
        from tinier_yolo.media.images import write_image

        found = detect_image(source.label, self._detector, *self._thresholds, keep=self._draws)
        suffix = PurePath(source.name).suffix
        suffix = suffix if suffix.lower() in _PICTURE_SUFFIXES else ".png"
        name = self.claim(source, suffix)
        drawn = self.done(found, source, name)
        if drawn is not None and self.saves:
            write_image(self.path(name, suffix), drawn)
            self.drawn += 1
        return self.show(drawn, wait=True)

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

        self._bar.total += (reader.frame_count or 1) - 1
        track = _Track(self, source, reader)
        with ExitStack() as stack:
            frames = detect_frames(reader, self._detector, *self._thresholds, keep=self._draws)
            for found in stack.enter_context(closing(frames)):
                if not track.add(found, stack):
                    return False
        track.check_end()
        return True

    def _streams(self, sources: list[Source]) -> bool:
        try:
            with ExitStack() as stack:
                tracks = self._connect(sources, stack)
                more = self._follow(tracks, stack)
        except KeyboardInterrupt:
            return False  # A stream has no other end.
        for track in tracks:
            track.check_end()
        return more

    def _connect(self, sources: list[Source], stack: ExitStack) -> list[_Track]:
        from tinier_yolo.media.streams import StreamReader

        tracks: list[_Track] = []
        for source in sources:
            try:
                reader = stack.enter_context(StreamReader(source.label, self.tell))
                tracks.append(_Track(self, source, reader))
            except TinierYoloError as problem:
                self._fail(problem)
        return tracks

    def _follow(self, tracks: list[_Track], stack: ExitStack) -> bool:
        from tinier_yolo.bulk.local import detect_together

        readers = [track.reader for track in tracks]
        frames = detect_together(readers, self._detector, *self._thresholds, keep=self._draws)
        for number, found in stack.enter_context(closing(frames)):
            if isinstance(found, TinierYoloError):
                self._fail(found)
            elif not tracks[number].add(found, stack):
                return False
        return True

    def claim(self, source: Source, suffix: str, folder: bool = False) -> str:
        """A name for a source's files, and for the folder of its frames; where its own is taken, that is said."""
        # A name that nothing goes by is not looked for: that would take a sixth of the time of a small picture.
        if not (self.saves or FORMATS[self._args.format].by_name):
            return source.name
        # WIDER FACE's files are known by their event, the folder of the image.
        event = f"{source.event}/" if self._args.format == "wider" and source.event else ""
        own = self._output.own_name(event + source.name, suffix, ".txt")
        name = self._output.claim(event + source.name, suffix, ".txt", folder=folder)
        if name != own:
            self._renamed += 1
            if self._renamed <= _TOLD:
                self.tell(f"{shown_name(source)}: written as {name}, as {own} is taken")
        return name

    def path(self, name: str, suffix: str) -> Path:
        """The file of a claimed name."""
        return self._output.path(name, suffix)

    def done(self, found: Found, source: Source, name: str, frame: int | None = None) -> Picture | None:
        """Write the result of one picture; returns the picture, if it is wanted, with the boxes drawn."""
        from tinier_yolo.detection.formats.result import Result
        from tinier_yolo.media.addresses import shown

        self._bar.clear()
        self._writer.write(Result(shown(source.label), name, *found.size, found.detections, frame, found.time))
        self.pictures += 1
        if self.pictures == 1:
            self._start = time.perf_counter()
        self.faces += len(found.detections)
        self._bar.update()
        if found.rgb is None:
            return None
        from tinier_yolo.media.drawing import draw_detections

        return draw_detections(found.rgb, found.detections, self._detector.class_names)

    def show(self, picture: Picture | None, wait: bool) -> bool:
        """Show a picture, if that is wanted; False where the user wants no more."""
        return self._window is None or picture is None or self._window.show(picture, wait)

    def tell(self, message: str) -> None:
        """Tell of something beside the results, in a line."""
        self._bar.clear()
        print(f"tinier-yolo: {message}", file=sys.stderr)


class _Track:
    """What becomes of the frames of a video, a camera or a stream: results, and a video with the boxes drawn."""

    def __init__(self, session: _Session, source: Source, reader: VideoReader) -> None:
        self.source, self.reader, self.frames = source, reader, 0
        self._session, self._name = session, session.claim(source, ".mp4", folder=True)
        self._writer: VideoWriter | None = None
        self._last = 0.0  # seconds

    def add(self, found: Found, stack: ExitStack) -> bool:
        """Take a frame; False where the user wants no more."""
        session = self._session
        drawn = session.done(found, self.source, f"{self._name}/{self.frames:06d}", self.frames)
        self.frames += 1
        self._last = found.time or 0.0
        if drawn is not None and session.saves:
            self._writer = self._writer or self._begin(drawn, stack)
            self._writer.write(_fitted(drawn, self._writer.size), found.time)
        return session.show(drawn, wait=False)

    def _begin(self, drawn: Picture, stack: ExitStack) -> VideoWriter:
        # Entered first, so left last: by then the file has its name, or an error is on its way.
        stack.push(self._count)
        return stack.enter_context(self._open(drawn))

    def _count(self, error: type[BaseException] | None, *_: object) -> None:
        self._session.drawn += not error or issubclass(error, KeyboardInterrupt)

    def _open(self, drawn: Picture) -> VideoWriter:
        from tinier_yolo.media.video_writer import VideoWriter

        sound = self.source.label if self.source.kind == "video" else None
        path, size = self._session.path(self._name, ".mp4"), (drawn.shape[1], drawn.shape[0])
        return VideoWriter(path, self.reader.fps, size, sound)

    def check_end(self) -> None:
        """Find out whether the video is whole.

        Raises:
            MediaError: frames are missing.
        """
        # By the frames and by the time: where their rate falls there are fewer than the rate at the beginning promises.
        promised = self.reader.frame_count
        if promised and self.frames < _MOST * promised and self._last < _MOST * promised / self.reader.fps:
            problem = f"the video ends early, after {self.frames} of about {promised} frames"
            raise MediaError(problem, path=shown_name(self.source))
        if self.reader.damage:
            raise MediaError("the video is damaged", path=shown_name(self.source), found=self.reader.damage)


def _fitted(drawn: Picture, video: tuple[int, int]) -> Picture:
    # A camera that was connected again may have another size; the video keeps that of its first frame.
    size = drawn.shape[1], drawn.shape[0]
    if size == video:
        return drawn
    from tinier_yolo.detection.letterbox import Letterbox

    return Letterbox.fit(size, video).apply(drawn)


def shown_name(source: Source) -> str:
    """What messages call a source."""
    from tinier_yolo.media.addresses import shown

    return printable(shown(source.label))


def report(problem: TinierYoloError, debug: bool) -> None:
    """Tell of one source that failed, in one line, while the others go on."""
    if debug:
        traceback.print_exception(problem)
    print(f"tinier-yolo: {problem}", file=sys.stderr)


class _Bar(Protocol):
    """What is asked of tqdm's bar."""

    total: int

    def update(self) -> object: ...
    def clear(self) -> object: ...
    def close(self) -> object: ...


class _NoBar:
    """Where stderr is no terminal: importing tqdm takes a tenth of the start."""

    total = 0

    def update(self) -> None:
        pass

    clear = close = update


def _progress_bar(sources: int) -> _Bar:
    if not sys.stderr.isatty():
        return _NoBar()
    from tqdm import tqdm

    bar: _Bar = tqdm(total=sources, unit="frame", file=sys.stderr, leave=False)
    return bar


def _open_window() -> Window | None:
    from tinier_yolo.media.display import Window, has_display

    if has_display():
        return Window()
    print("tinier-yolo: no display here: --show is left out", file=sys.stderr)
    return None
