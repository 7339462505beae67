#!/usr/bin/env bash
# Installs POT into a folder outside the checkout, builds the bench, and times both in turns (see the Python file).
#   SWAV_BENCH_DIR   where POT goes; default ${XDG_CACHE_HOME:-~/.cache}/swav-bench
set -euo pipefail
cd "$(dirname "$0")/.."
place=${SWAV_BENCH_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/swav-bench}
case "$(realpath -m "$place")/" in "$(pwd -P)"/*) echo "$place is inside the checkout; choose another" >&2; exit 2 ;; esac
python=$place/bin/python
[ -x "$python" ] || python3 -m venv "$place"
"$python" -c 'import ot' 2>/dev/null || "$python" -m pip install --quiet 'POT==0.9.7.post1' numpy scipy
cargo build --release --locked -p swav-benches --bin transport_speed
exec "$python" benches/compare_pot.py "$@"
