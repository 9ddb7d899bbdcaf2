"""Training on two machines, one of which dies: is what comes out the same?

    python scripts/two_nodes.py --folder /tmp/two-nodes

Two nodes are two network namespaces of this machine with a cable between them (``ip netns``, a veth pair), which only
root can make; where that is not permitted, or with ``--loopback``, two launchers on 127.0.0.1. Each has a folder of its
own, with its own copy of a small data set, as machines that share no disk have. One run is left alone. In another a
node is killed, its launcher and all its processes, as soon as there is a checkpoint; the other node ends by itself,
both are started again with the same command, and so on for each number of ``--kill``. Node 0 is the one that writes.
Ends with 1 if the files of the two runs differ in a bit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CFG = """[net]
width=64
height=64
batch={batch}
max_batches={steps}
learning_rate=0.002
adam=1
policy=cosine
{layers}[convolutional]
filters=6
activation=linear
binary=1

[region]
anchors=1,1
classes=1
num=1
"""
LAYERS = """[convolutional]
filters={filters}
size=3
pad=1
activation=linear
binary=1

[maxpool]

[batchnorm]

[activation]
activation=hwgq
bits=2

"""
#: What a run leaves that must be equal.
FILES = ("two.weights", "two_last.weights", "two_ema.weights", "two_training.csv", "two_validation.csv")


def main() -> int:
    """Do both runs and compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tinier-yolo-two-nodes"), metavar="DIR")
    parser.add_argument("--steps", type=int, default=60, metavar="N")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="on each node (default 1)")
    parser.add_argument(
        "--kill", type=int, nargs="*", choices=(0, 1), default=[1, 0], help="nodes, one after the other"
    )
    parser.add_argument("--loopback", action="store_true", help="no namespaces")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    shutil.rmtree(args.folder, ignore_errors=True)
    nodes = Loopback() if args.loopback else make_namespaces()
    print(f"two nodes: {nodes.what}; {args.processes} process(es) on each, {args.steps} steps", flush=True)
    training = Training(nodes, args.folder, args.processes)
    try:
        for number in (0, 1):
            make_set(args.folder / f"node{number}", args.steps, 4 * args.processes)
        training.start("whole")
        codes = training.wait()
        print(f"the run that was left alone ended with {codes}", flush=True)
        for number in args.kill:
            training.interrupt("killed", number)
        training.start("killed")
        codes += training.wait()
        print(f"the run that was killed {len(args.kill)} time(s) ended with {codes[2:]}", flush=True)
    finally:
        training.kill(0, 1)
        nodes.remove()
    same = [compare(args.folder / "node0", name) for name in FILES]
    return 0 if all(same) and not any(codes) else 1


class Loopback:
    """Two launchers on 127.0.0.1."""

    what = "two launchers on 127.0.0.1"
    address, interfaces = "127.0.0.1", ("lo", "lo")

    def prefix(self, number: int) -> list[str]:  # noqa: ARG002
        """What stands before a command of a node."""
        return []

    def remove(self) -> None:
        """Nothing was made."""


class Namespaces(Loopback):
    """Two network namespaces with a cable between them."""

    what = "two network namespaces, 10.77.0.1 and 10.77.0.2, a veth pair between them"
    address = "10.77.0.1"

    def __init__(self) -> None:
        self.names = [f"ty{os.getpid()}n{number}" for number in (0, 1)]
        self.interfaces = (f"ty{os.getpid()}v0"[-15:], f"ty{os.getpid()}v1"[-15:])
        try:
            for name in self.names:
                ip("netns", "add", name)
            ip("link", "add", self.interfaces[0], "type", "veth", "peer", "name", self.interfaces[1])
            for number, (name, interface) in enumerate(zip(self.names, self.interfaces, strict=True), 1):
                ip("link", "set", interface, "netns", name)
                ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", interface)
                ip("-n", name, "link", "set", interface, "up")
                ip("-n", name, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError):
            self.remove()
            raise

    def prefix(self, number: int) -> list[str]:
        """What stands before a command of a node."""
        return ["ip", "netns", "exec", self.names[number]]

    def remove(self) -> None:
        """Remove both; the cable goes with them."""
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def ip(*words: str) -> None:
    """Run the command of that name."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def make_namespaces() -> Loopback:
    """Namespaces, or the loopback where they are not permitted."""
    try:
        return Namespaces()
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        print(f"no network namespaces here: {' '.join(str(reason).split())}", flush=True)
        return Loopback()


class Training:
    """The launchers of a run, one a node."""

    def __init__(self, nodes: Loopback, folder: Path, processes: int) -> None:
        self.nodes, self.folder, self.processes = nodes, folder.resolve(), processes
        self.launchers: list[subprocess.Popen[bytes]] = []

    def start(self, out: str) -> None:
        """Start the same command on both nodes."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.launchers = [self._launch(number, out, port) for number in (0, 1)]

    def _launch(self, number: int, out: str, port: str) -> subprocess.Popen[bytes]:
        command = [*self.nodes.prefix(number), sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
        command += ["--node-rank", str(number), "--nproc-per-node", str(self.processes)]
        command += ["--master-addr", self.nodes.address, "--master-port", port, "-m", "tinier_yolo"]
        command += ["train", "two.cfg", "--data", "two.data", "--out", out, "--resume", "--device", "cpu"]
        command += ["--precision", "float32", "--threads", "1", "--workers", "0", "--log-every", "5"]
        command += ["--keep-every", "10"]
        more = {"GLOO_SOCKET_IFNAME": self.nodes.interfaces[number], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        node = self.folder / f"node{number}"
        with (node / f"{out}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=node, env={**os.environ, **more}, stdout=log, stderr=log)

    def wait(self) -> list[int]:
        """The exit codes of both nodes."""
        return [launcher.wait(600) for launcher in self.launchers]

    def interrupt(self, out: str, number: int) -> None:
        """Start, kill a node after the next checkpoint, and see the other one end."""
        checkpoint = self.folder / "node0" / out / "two.checkpoint"
        before = written(checkpoint)
        self.start(out)
        while written(checkpoint) == before:
            if any(launcher.poll() is not None for launcher in self.launchers):
                raise SystemExit(f"a node ended by itself; see {self.folder}/node*/{out}.log")
            time.sleep(0.02)
        self.kill(number)
        moment = time.monotonic()
        codes = self.wait()
        print(f"node {number} killed; node {1 - number} ended {time.monotonic() - moment:.1f} s later with "
              f"{codes[1 - number]}", flush=True)  # fmt: skip
        if not codes[1 - number]:
            raise SystemExit("the run was at its end before it was killed: more --steps are needed")

    def kill(self, *numbers: int) -> None:
        """Kill nodes with all their processes, if they run."""
        for launcher in (self.launchers[number] for number in numbers if self.launchers):
            if launcher.poll() is None:
                for pid in family(launcher.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def written(path: Path) -> int:
    """When a file was written, in nanoseconds; 0: never."""
    return path.stat().st_mtime_ns if path.exists() else 0


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(other for child in children for other in family(int(child)))]


def make_set(node: Path, steps: int, batch: int) -> None:
    """A cfg, and twelve pictures with a bright disc as a "face"."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (node / name).mkdir(parents=True)
    layers = "".join(LAYERS.format(filters=filters) for filters in (8, 12, 16))
    (node / "two.cfg").write_text(CFG.format(steps=steps, batch=batch, layers=layers))
    for number in range(12):
        image = rng.integers(0, 90, (64, 96, 3), np.uint8)
        x, y, r = (int(rng.integers(low, high)) for low, high in ((16, 80), (16, 48), (7, 15)))
        cv2.circle(image, (x, y), r, (200, 180, 240), -1)
        cv2.imwrite(str(node / "images" / f"{number}.png"), image)
        (node / "labels" / f"{number}.txt").write_text(f"0 {x / 96} {y / 64} {2 * r / 96} {2 * r / 64}\n")
    (node / "list.txt").write_text("".join(f"images/{number}.png\n" for number in range(12)))
    (node / "two.data").write_text("classes=1\ntrain=list.txt\nvalid=list.txt\n")


def compare(node: Path, name: str) -> bool:
    """Whether a file of both runs is the same; says so."""
    one, other = (node / run / name for run in ("whole", "killed"))
    same = one.exists() and other.exists() and one.read_bytes() == other.read_bytes()
    print(f"{name}: {'equal' if same else 'DIFFERENT'}", flush=True)
    return same


if __name__ == "__main__":
    sys.exit(main())
