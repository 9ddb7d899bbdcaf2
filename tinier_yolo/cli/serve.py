"""``tinier-yolo serve``: the page of a detector, and detection over HTTP."""

from __future__ import annotations

import argparse
import sys

from tinier_yolo.cli.options import size
from tinier_yolo.cli.process import Terminated
from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.shipped import default_model

_EPILOG = """
GET / is the page of `tinier-yolo export web`: pictures and the camera, detected in the browser. POST /detect takes the
bytes of an image and answers as `tinier-yolo detect - --format json` does:

    curl --data-binary @photo.jpg http://127.0.0.1:8000/detect?thresh=0.4

An error is {"error": "..."}. Only this machine reaches the server, unless --host says otherwise. Ctrl-C ends it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--model", metavar="FILE.ifq", help="the program (default: the shipped model)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, metavar="N", help="its port; 0: a free one (default %(default)s)"
    )
    parser.add_argument("--size", type=size, metavar="N|WxH", help="the network's input for POST /detect")
    parser.add_argument("--thresh", type=float, default=THRESH, help=f"least score, 0..1 (default {THRESH})")
    parser.add_argument("--nms", type=float, default=NMS, help=f"largest IoU of two boxes, 0..1 (default {NMS})")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C.

    Raises:
        TinierYoloError: the model or an option is bad, or the address cannot be listened on.
    """
    from pathlib import Path

    from tinier_yolo.cli.export import binary_program
    from tinier_yolo.detection.detector import Detector, check_thresholds
    from tinier_yolo.export.web.page import web_page
    from tinier_yolo.serve.server import DetectionServer, is_loopback

    check_thresholds(args.thresh, args.nms)
    model = args.model or default_model()
    page = web_page(binary_program(model, "a page"), Path(model).name)
    detector = Detector.load(model, size=args.size)
    with DetectionServer((args.host, args.port), detector, page, args.thresh, args.nms) as server:
        print(server.url, flush=True)
        if not is_loopback(args.host):
            note = "other machines can reach it; browsers allow them the camera only by way of https"
            print(f"tinier-yolo: {note}", file=sys.stderr)
        if args.open:
            import threading
            import webbrowser

            # In a thread: a browser in the terminal comes back only when it is closed.
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except Terminated:
            raise
        except KeyboardInterrupt:
            return 0
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"expected 0..65535, found {text!r}")
    return int(text)
