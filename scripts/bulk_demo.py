"""A bulk run of many small pictures in every way: one process, several, a Dask cluster, and with somebody killed.

    python scripts/bulk_demo.py --images 20000 --folder /tmp/bulk

Makes small pictures, and runs plain ``detect`` and every kind of bulk run over them with the shipped model at a small
size: detecting costs so little that the driver shows. Says of each run the seconds by the clock and of CPU of all
processes (a cluster's own start apart), the memory of the client and of its largest worker, the most of it in each
tenth of the run, and whether the rows are those of plain ``detect``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinier_yolo.shipped import default_model


def main() -> None:
    """Make the pictures and do the runs that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20000, metavar="N")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tinier-yolo-bulk"), metavar="DIR")
    parser.add_argument("--shard", type=int, default=250, metavar="N", help="pictures a file (default 250)")
    parser.add_argument(
        "--only", nargs="*", metavar="NAME", help="plain, eighth, one, two, four, dask, killed (default all)"
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(args.folder)
    names = make_pictures(args.images)
    Path("list.txt").write_text("".join(f"{name}\n" for name in names))
    Path("eighth.txt").write_text("".join(f"{name}\n" for name in names[: len(names) // 8]))
    runs = {
        "plain": lambda: detect("plain", "list.txt", "--no-save", rows=Path("plain.jsonl")),
        "eighth": lambda: bulk("eighth", "eighth.txt", args.shard),
        "one": lambda: bulk("one", "list.txt", args.shard),
        "two": lambda: bulk("two", "list.txt", args.shard, "--workers", "2"),
        "four": lambda: bulk("four", "list.txt", args.shard, "--workers", "4"),
        "dask": lambda: on_a_cluster("dask", args.shard),
        "killed": lambda: killed("killed", args.shard, len(names)),
    }
    for name, run in runs.items():
        if not args.only or name in args.only:
            print(json.dumps({"run": name, **run()}), flush=True)


def make_pictures(count: int) -> list[str]:
    """Write small JPEGs into ``p/``, noise and ellipses, where they are not there."""
    names = [f"p/{number // 1000:03d}/{number:06d}.jpg" for number in range(count)]
    rng = np.random.default_rng(0)
    for name in names:
        if Path(name).exists():
            continue
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        picture = np.full((120, 160, 3), rng.integers(0, 255, 3), np.uint8)
        for _ in range(4):
            center, axes = rng.integers(0, 120, 2).tolist(), rng.integers(8, 40, 2).tolist()
            cv2.ellipse(picture, center, axes, 0, 0, 360, rng.integers(0, 255, 3).tolist(), -1)
        cv2.imwrite(name, picture)
    return names


def detect(name: str, *arguments: str, rows: Path | None = None) -> dict[str, Any]:
    """Run ``tinier-yolo detect`` on the shipped model, at a small size; what it took."""
    command = [
        sys.executable,
        "-m",
        "tinier_yolo",
        "detect",
        *arguments,
        "--model",
        str(default_model()),
        "--size",
        "96",
    ]
    start, before = time.perf_counter(), cpu_seconds()
    with open(rows or os.devnull, "w") as out, open(f"{name}.log", "w") as log:  # noqa: PTH123
        process = subprocess.Popen(command, stdout=out, stderr=log)
        peak = watch(process)
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), **peak, "code": process.returncode}


def cpu_seconds() -> float:
    """CPU time of this process and of all that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def bulk(name: str, source: str, shard: int, *arguments: str) -> dict[str, Any]:
    """A bulk run into a folder of its own, and whether its rows are plain detection's."""
    shutil.rmtree(name, ignore_errors=True)
    took = detect(name, source, "--shard", str(shard), "--out", name, *arguments)
    return took | {"same_rows": same(name)}


def on_a_cluster(name: str, shard: int) -> dict[str, Any]:
    """A bulk run by a Dask cluster of two processes; what its start and end cost is not counted."""
    import distributed

    def cluster() -> Any:
        return distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)

    marks = [cpu_seconds()]
    with cluster():
        pass
    marks.append(cpu_seconds())
    with cluster() as running:
        took = bulk(name, "list.txt", shard, "--dask", running.scheduler_address)
    marks.append(cpu_seconds())
    empty, whole = marks[1] - marks[0], marks[2] - marks[1]
    return took | {"cpu_seconds": round(whole - empty, 1)}


def killed(name: str, shard: int, images: int) -> dict[str, Any]:
    """A run whose workers are killed now and then, and whose client is killed in the middle and starts again."""
    shutil.rmtree(name, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "tinier_yolo",
        "detect",
        "list.txt",
        "--model",
        str(default_model()),
        "--size",
        "96",
    ]
    command += ["--shard", str(shard), "--out", name, "--workers", "2", "--resume"]
    deaths = 0
    parts = -(-images // shard)
    for stop in (parts // 3, 2 * parts // 3, parts + 1):
        with open(f"{name}.log", "a") as log:  # noqa: PTH123
            client = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        seen = len(list(Path(name).glob("part-*")))
        while client.poll() is None and (done := len(list(Path(name).glob("part-*")))) < stop:
            if done > seen + parts // 10:
                seen = done
                for pid in children(client.pid)[:1]:
                    os.kill(pid, signal.SIGKILL)
                    deaths += 1
            time.sleep(0.2)
        if client.poll() is None:
            client.kill()
        client.wait()
    return {"workers_killed": deaths, "clients_killed": 2, "code": client.returncode, "same_rows": same(name)}


def same(name: str) -> bool:
    """Whether the rows of a folder are the first of plain detection's, none twice and none missing."""
    parts = sorted(Path(name).glob("part-*"))
    found = "".join(part.read_text() for part in parts)
    return Path("plain.jsonl").read_text().startswith(found) and len(found.splitlines()) == counted(name)


def counted(name: str) -> int:
    """How many pictures a folder's manifest promises."""
    images: int = json.loads(Path(name, "manifest.json").read_text())["images"]
    return images


def watch(process: subprocess.Popen[bytes]) -> dict[str, list[int]]:
    """Wait for a process; the largest resident memory of it and of its largest child, in MiB, by tenths of the time."""
    seen: list[tuple[int, int]] = []
    while process.poll() is None:
        seen.append((resident(process.pid), max(map(resident, children(process.pid)), default=0)))
        time.sleep(0.25)
    tenths = [seen[len(seen) * tenth // 10 : len(seen) * (tenth + 1) // 10] for tenth in range(10)]
    names = ("client_mib", "worker_mib")
    return {name: [max(row[who] for row in part) // 1024 for part in tenths if part] for who, name in enumerate(names)}


def children(pid: int) -> list[int]:
    """The workers of a client: its child processes but for the one that only keeps count of resources."""
    try:
        found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:
        return []


def resident(pid: int) -> int:
    """Resident memory in KiB."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    main()
