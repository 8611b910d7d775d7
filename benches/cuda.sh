#!/usr/bin/env bash
# The target cuda on a machine with a GPU, in under ten minutes: what works first, how fast it is then.
#
#   benches/cuda.sh [PATH OF nnc]        (target/release/nnc if not given; nothing is built)
#
# 1. `nnc doctor`. 2. Every workload that trains, five steps on the processor and on the GPU: the losses agree. 3. Memory and races by
# compute-sanitizer where it is installed. 4. Milliseconds a step, the first start and one from the cache. 5. PyTorch beside it, where
# python3 has it. The exit status is 0 if everything that was compared agrees.
set -uo pipefail
cd "$(dirname "$0")/.."
nnc=${1:-target/release/nnc}
faults=0
export NNC_CUDA_CACHE
NNC_CUDA_CACHE=$(mktemp -d)
trap 'rm -rf "$NNC_CUDA_CACHE"' EXIT

echo "== what is here"
"$nnc" doctor
"$nnc" doctor | grep -q '^target cuda *works' || { echo "FAULT: the target cuda does not work here"; exit 1; }

# The values that `nnc bench` prints after its steps, one a line.
values() { timeout 120 "$nnc" bench "$1" --target "$2" --steps 5 2>/dev/null | sed -n 's/.*first value //p'; }

echo "== the same values as the processor"
for file in benches/workloads/*-train.nn examples/{digits,vae,lstm,gan,gpt,gcn,speech_ctc}.nn; do
  name=$(basename "$file" .nn)
  cpu=$(values "$file" cpu)
  [ -n "$cpu" ] || { echo "$name: the processor has no values, left out"; continue; }
  cuda=$(values "$file" cuda)
  if paste <(echo "$cpu") <(echo "$cuda") | awk 'NF != 2 || ($1 - $2)^2 > (2e-3 * ($1 < 0 ? -$1 : $1) + 1e-5)^2 { bad = 1 } END { exit bad }'; then
    echo "$name: agrees" $cuda
  else
    echo "FAULT: $name: processor" $cpu "GPU" $cuda
    faults=$((faults + 1))
  fi
done

echo "== compute-sanitizer"
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck; do
    for mode in "" no-graph; do
      if NNC_CUDA=$mode timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$nnc" bench examples/digits.nn --target cuda --steps 2 > /tmp/sanitizer.$$ 2>&1; then
        echo "$tool ${mode:-graph}: clean"
      else
        echo "FAULT: $tool ${mode:-graph}"; tail -20 /tmp/sanitizer.$$
        faults=$((faults + 1))
      fi
    done
  done
  rm -f /tmp/sanitizer.$$
else
  echo "not installed, left out"
fi

echo "== milliseconds a step"
for file in benches/workloads/*-train.nn; do
  timeout 60 "$nnc" bench "$file" --target cuda 2>/dev/null | grep '\.train:' | sed "s/^/$(basename "$file" -train.nn) /"
done

echo "== from the start of the process to the end of the first step"
for cache in first again; do
  [ $cache = again ] || find "$NNC_CUDA_CACHE" -name '*.cubin' -delete
  /usr/bin/env time -f "$cache: %e s" "$nnc" bench benches/workloads/gpt-mini-train.nn --target cuda --steps 1 2>&1 > /dev/null | tail -1
done

echo "== PyTorch"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
  timeout 240 python3 benches/cuda_torch.py
else
  echo "python3 has no PyTorch with CUDA, left out"
fi
[ $faults = 0 ] && echo "everything agrees" || { echo "$faults faults"; exit 1; }
