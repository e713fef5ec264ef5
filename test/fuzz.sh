#!/usr/bin/env bash
# Runs every fuzz target of the module for a short while, one after the other. A new crasher is left in testdata/fuzz of its
# package; commit it together with the mend.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=3s}"
out=${TMPDIR:-/tmp}/fuzz.$$

# At its end a run may fail with "context deadline exceeded" though no input failed (go.dev/issue/75804): that is no failure.
passed() {
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" "$1" </dev/null >"$out" 2>&1 ||
    { grep -q '^ *context deadline exceeded$' "$out" && ! grep -q 'Failing input\|panic:\|_test\.go:' "$out"; }
}

grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r package; do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$package"/*_test.go | cut -d' ' -f2); do
    printf 'fuzz %s %s: ' "$package" "$target"
    passed "$package" "$target" || { cat "$out"; exit 1; }
    sed -n 's/^fuzz: elapsed: .*execs: \([0-9]*\).*/\1/p' "$out" | tail -n 1 | sed 's/$/ executions, no failure/'
  done
done
rm -f "$out"
