#!/usr/bin/env bash
# The target cuda on a machine with a GPU, in under ten minutes: what works first, how fast it is then.
#
#   benches/cuda.sh [PATH OF nnc]        (target/release/nnc if not given; nothing is built)
#   NNC_CUDA_DRY=1 benches/cuda.sh       a short form, for a device that stands in (NNC_CUDA_DIR names its folder)
#
# 1. `nnc doctor`. 2. Every workload that trains, some steps on the processor and on the GPU in each way of launching: the losses
# agree. 3. The suites of tests, of whichever programs `cargo test --release --no-run` has left: oracle (NNC_ORACLE names the
# reference vectors), oracle_models, targets, random_programs, composites, library. 4. Memory and races by compute-sanitizer where
# it is installed. 5. Milliseconds a step, a token, the first start and one from the cache. 6. PyTorch beside it, where python3 has
# it. The exit status is 0 if everything that was compared agrees.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
nnc=${1:-target/release/nnc}
dry=${NNC_CUDA_DRY:-}
faults=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The cache of kernels begins empty. (A device that stands in has its own.)
[ -n "$dry" ] || export NNC_CUDA_CACHE=$work/kernels

fault() {
  echo "FAULT: $1"
  faults=$((faults + 1))
}

# Seconds that are left of the ten minutes, or of what a part may take at most; one at least.
left() {
  local rest=$((570 - SECONDS))
  [ "$rest" -lt "$1" ] || rest=$1
  [ "$rest" -gt 1 ] || rest=1
  echo "$rest"
}

echo "== what is here"
"$nnc" doctor | tee "$work/doctor"
grep -q '^target cuda *works' "$work/doctor" || { echo "FAULT: the target cuda does not work here"; exit 1; }

# The values that `nnc bench` prints after its steps, one a line.
values() {
  local file=$1
  shift
  timeout "$(left 60)" "$nnc" bench "$file" --steps 5 "$@" 2> "$work/said" | sed -n 's/.*first value //p'
}

# Whether two lists of values agree.
agree() {
  paste <(echo "$1") <(echo "$2") | awk '
    NF != 2 || ($1 - $2) ^ 2 > (2e-3 * ($1 < 0 ? -$1 : $1) + 1e-5) ^ 2 { bad = 1 }
    END { exit bad }'
}

echo "== the same values as the processor, and the same bits in every run"
files=(benches/workloads/*-train.nn examples/{digits,vae,lstm,gan,gpt,gcn,speech_ctc}.nn)
[ -z "$dry" ] || files=(benches/workloads/mlp-tiny-train.nn examples/digits.nn)
for file in "${files[@]}"; do
  name=$(basename "$file" .nn)
  cpu=$(values "$file" --target cpu)
  [ -n "$cpu" ] || { echo "$name: the processor has no values, left out"; continue; }
  cuda=$(values "$file" --target cuda)
  if ! agree "$cpu" "$cuda"; then
    fault "$name: processor $(echo "$cpu" | xargs), GPU $(echo "$cuda" | xargs) $(head -c 600 "$work/said")"
    continue
  fi
  again=$(values "$file" --target cuda --no-graph)
  [ "$again" = "$cuda" ] || fault "$name: another run, launch by launch: $(echo "$again" | xargs)"
  own=$(NNC_CUDA=own-products values "$file" --target cuda)
  agree "$cpu" "$own" || fault "$name: with products of our own: $(echo "$own" | xargs)"
  echo "$name: agrees, $(echo "$cuda" | xargs)"
done

echo "== suites"
# The newest program of a suite of tests, within a limit of seconds.
suite() {
  local name=$1 limit=$2 program
  program=$(find target/release/deps -maxdepth 1 -type f -executable -name "$name-*" -printf '%T@ %p\n' 2> /dev/null | sort -rn | sed -n '1s/^[^ ]* //p')
  [ -n "$program" ] || { echo "$name: not built, left out"; return; }
  if NNC_TEST_TARGET=cuda timeout "$(left "$limit")" "$program" --nocapture > "$work/suite" 2>&1; then
    echo "$name: $(grep -E '^SKIPPED|cases ran|samples agree|accepted|^test result' "$work/suite" | xargs)"
  elif [ $? = 124 ]; then
    echo "$name: NOT to the end in $limit s"
  else
    fault "$name"
    grep -E 'panicked|differ|agree|error' "$work/suite" | head -20
  fi
}
if [ -n "$dry" ]; then
  suite library 60
else
  suite oracle 90
  suite oracle_models 60
  suite targets 60
  NNC_RANDOM_PROGRAMS=40 suite random_programs 60
  suite composites 60
  suite library 30
fi

echo "== compute-sanitizer"
sanitizer=$(command -v compute-sanitizer || find /usr/local/cuda*/bin -name compute-sanitizer 2> /dev/null | head -1)
if [ -n "$sanitizer" ]; then
  for file in examples/digits.nn examples/lstm.nn; do
    for tool in memcheck racecheck; do
      if timeout "$(left 60)" "$sanitizer" --tool "$tool" --error-exitcode 9 "$nnc" bench "$file" --target cuda --no-graph --steps 2 > "$work/sanitizer" 2>&1; then
        echo "$tool $(basename "$file"): clean"
      else
        fault "$tool $(basename "$file")"
        tail -20 "$work/sanitizer"
      fi
    done
  done
else
  echo "not installed, left out"
fi

echo "== milliseconds a step: as one graph; launch by launch; with products of our own"
files=(benches/workloads/*-train.nn)
[ -z "$dry" ] || files=(benches/workloads/mlp-tiny-train.nn)
for file in "${files[@]}"; do
  name=$(basename "$file" -train.nn)
  step() { timeout "$(left 30)" "$nnc" bench "$file" --target cuda "$@" 2> /dev/null | sed -n 's/.*\.train: //p'; }
  short=()
  [ -z "$dry" ] || short=(--steps 2)
  echo "$name graph: $(step "${short[@]}")"
  echo "$name launches: $(step --no-graph --steps 20)"
  echo "$name own products: $(NNC_CUDA=own-products step --steps 20)"
done
if [ -z "$dry" ]; then
  timeout "$(left 60)" "$nnc" bench benches/workloads/gpt2-decode-infer.nn --target cuda 2> /dev/null | sed -n 's/.*\.token: /gpt2-decode a token: /p'
fi

echo "== from the start of the process to the end of the first step"
file=benches/workloads/gpt-mini-train.nn
[ -z "$dry" ] || file=benches/workloads/mlp-tiny-train.nn
for cache in first again; do
  [ $cache = again ] || [ -n "$dry" ] || rm -rf "$NNC_CUDA_CACHE"
  begin=$(date +%s.%N)
  timeout "$(left 60)" "$nnc" bench $file --target cuda --steps 1 > /dev/null 2>&1 || fault "$file does not run"
  echo "$cache: $(echo "$(date +%s.%N) $begin" | awk '{ printf "%.2f", $1 - $2 }') s"
done

echo "== PyTorch"
python=$(command -v python3 || true)
if [ -n "$dry" ] && "${NNC_TORCH:-python3}" -c 'import torch' 2> /dev/null; then
  timeout "$(left 120)" "${NNC_TORCH:-python3}" benches/cuda_torch.py dry || fault "cuda_torch.py"
elif [ -n "$python" ] && "$python" -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
  timeout "$(left 240)" "$python" benches/cuda_torch.py "$(left 200)"
else
  echo "python3 has no PyTorch with CUDA, left out"
fi
if [ $faults != 0 ]; then
  echo "$faults faults, in $SECONDS s"
  exit 1
fi
echo "everything agrees, in $SECONDS s"
