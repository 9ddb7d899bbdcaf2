#!/usr/bin/env bash
# Build the wheel from the source distribution, install it into a new environment, and use it in an empty folder.
#
#   scripts/check_package.sh [PYTHON [REQUIREMENT ...]]
#   scripts/check_package.sh python3.13 'opencv-python==5.*' 'numpy==2.*'
#
# Detection, conversion by a cfg's name, a summary and an evaluation's help are run; training where TORCH is set to what
# pip shall install for it (TORCH=torch==2.13.0). Prints the versions and the size of what was installed.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-python3}
shift || true

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install build
# A source distribution takes what stands in the folder: only what is committed or about to be shall be in it.
git -C "$checkout" ls-files -z | tar -C "$checkout" --null --files-from=- -c | (mkdir "$work/source" && tar -C "$work/source" -x)
"$work/venv/bin/python" -m build --outdir "$work/dist" "$work/source" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
# The manifest excludes what a clean checkout has not; the environment may forbid to compile.
if grep -i 'warning' "$work/build.log" | grep -vE 'no previously-included files|byte-compiling is disabled'; then
    echo "the build warns" && exit 1
fi
ls -l "$work/dist"

before=$(du -sk "$work/venv" | cut -f1)
pip install "$work"/dist/*.whl "$@" ${TORCH:+"$TORCH"}
echo "installed: $(($(du -sk "$work/venv" | cut -f1) - before)) kB"
"$work/venv/bin/python" --version
pip freeze | grep -iE '^(numpy|opencv-python|numba|scipy|torch)=='

mkdir "$work/empty" && cd "$work/empty"
run() { echo "tinier-yolo $*" >&2 && "$work/venv/bin/tinier-yolo" "$@"; }
photo=$("$work/venv/bin/python" -c 'import matplotlib as m; print(m.get_data_path() + "/sample_data/grace_hopper.jpg")')
run --version
run detect "$photo" --out out >found.json
test -s out/grace_hopper.jpg
test "$(grep -c '"class": "face"' found.json)" = 1
# Compiled kernels, not the first picture's: the same integers.
run bench --no-startup --runs 3 >/dev/null
run convert ifq-tinier-yolo-face "$checkout/weights/ifq-tinier-yolo-face.weights" -o face.ifq >/dev/null
run detect "$photo" --model face.ifq --no-save | cmp - found.json
run summary face.ifq >/dev/null
run eval fddb --help >/dev/null
if [ -n "${TORCH:-}" ]; then
    mkdir -p data/images data/labels && cp "$photo" data/images/a.jpg && echo '0 0.52 0.4 0.33 0.36' >data/labels/a.txt
    echo images/a.jpg >data/list.txt && printf 'train = list.txt\nvalid = list.txt\n' >data/one.data
    run train ifq-tinier-yolo-face --data data/one.data --out runs --max-batches 1 --batch 2 --size 96 --workers 0 2>/dev/null
    test -s runs/ifq-tinier-yolo-face.weights
fi
echo "the package works"
