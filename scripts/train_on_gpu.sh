#!/bin/sh
# Train for a given number of seconds on a machine that is lent by the minute, from this tree and packed data alone.
#
#   scripts/pack_dataset.py --data faces.data --out packs          (before, where the data is)
#   scripts/train_on_gpu.sh 780 cfg/tinier-yolo-face.cfg packs out [--size 320 --init weights ...]
#
# Needs PyTorch, NumPy, Numba and OpenCV (headless does); neither Safetensors nor tqdm nor Matplotlib nor an installed package.
# Weights and curves are written every minute. Exit code 2, and what is wrong in one line, where the loss does not fall.
# SPLIT=1 cuts weights of more than 15 MiB into pieces of that size (put together again with cat).
set -eu

if [ $# -lt 4 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
out=$4

"$python" - >&2 <<'CHECK'
import sys
missing = []
for name in ("torch", "numpy", "numba", "cv2"):
    try:
        print(name, __import__(name).__version__, end="  ")
    except ImportError:
        missing.append(name)
if missing:
    sys.exit("train_on_gpu: missing: " + ", ".join(missing))
import torch
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA: on the CPU")
CHECK

"$python" "$root/scripts/train_packed.py" "$@"

if [ "${SPLIT:-0}" = 1 ]; then
    find "$out" -name '*.weights' -size +15M -exec split -b 15M {} {}.part- \;
    find "$out" -name '*.weights' -size +15M -exec rm {} +
fi
