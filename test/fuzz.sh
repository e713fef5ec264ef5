#!/usr/bin/env bash
# Runs every fuzz target of the module for a short while, one after the other. A new crasher is left in testdata/fuzz of its
# package; commit it together with the mend.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=3s}"
grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r package; do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$package"/*_test.go | cut -d' ' -f2); do
    printf 'fuzz %s %s: ' "$package" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "$package" </dev/null >"${TMPDIR:-/tmp}/fuzz.$$" 2>&1 ||
      { cat "${TMPDIR:-/tmp}/fuzz.$$"; exit 1; }
    sed -n 's/^fuzz: elapsed: .*execs: \([0-9]*\).*/\1/p' "${TMPDIR:-/tmp}/fuzz.$$" | tail -n 1 | sed 's/$/ executions, no failure/'
  done
done
rm -f "${TMPDIR:-/tmp}/fuzz.$$"
