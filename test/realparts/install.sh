#!/usr/bin/env bash
# Installs what the tests run against: Debian packages, npm packages, Go modules and a Kubernetes API server, each at a fixed
# version. What is there already is left alone, so a second run takes seconds. Tests that miss a part are skipped on a
# developer's machine; with CI=true a part that cannot be installed stops this script.
#
#   test/realparts/install.sh           everything
#   NO_APT=1 test/realparts/install.sh  without Debian packages, for a machine that must not be changed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${CAMBIO_REALPARTS:-${XDG_CACHE_HOME:-$HOME/.cache}/cambio-realparts}
kubernetes=1.37.2
missing=0

say() { printf 'realparts: %s\n' "$*"; }

# A part that is not there: an error in CI, a remark elsewhere.
lack() {
  say "MISSING: $*"
  missing=$((missing + 1))
}

# Every 30 seconds says that a long step is still going on, until it ends.
with_progress() {
  local what=$1 start=$SECONDS status=0
  shift
  "$@" & local pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    for _ in $(seq 30); do kill -0 "$pid" 2>/dev/null || break; sleep 1; done
    kill -0 "$pid" 2>/dev/null && say "$what: $((SECONDS - start)) s so far"
  done
  wait "$pid" || status=$?
  say "$what: done after $((SECONDS - start)) s (exit $status)"
  return "$status"
}

debian_packages() {
  local wanted=() pair
  for pair in az:azure-cli etcd:etcd-server curl:curl openssl:openssl node:nodejs npm:npm promtool:prometheus; do
    command -v "${pair%%:*}" >/dev/null || wanted+=("${pair##*:}")
  done
  # These programs may be on no PATH. What Debian's packages would start is not wanted.
  for pair in nginx:nginx-light haproxy:haproxy caddy:caddy apache2:apache2; do
    command -v "${pair%%:*}" >/dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || wanted+=("${pair##*:}")
  done
  [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || wanted+=(libapache2-mod-auth-openidc)
  [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || wanted+=(pgbouncer)
  compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null || wanted+=(postgresql)
  [ ${#wanted[@]} -eq 0 ] && { say "Debian packages: all there"; return; }
  if [ "$(id -u)" -ne 0 ] || [ -n "${NO_APT:-}" ] || ! command -v apt-get >/dev/null; then
    lack "Debian packages ${wanted[*]} (apt-get install as root)"
    return
  fi
  say "Debian packages: installing ${wanted[*]}"
  apt() { RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q "$@" >/dev/null; }
  apt update && with_progress "apt-get" apt install -y --no-install-recommends "${wanted[@]}" || lack "Debian packages ${wanted[*]}"
}

npm_packages() {
  local folder=$here/../clients/node
  command -v npm >/dev/null || { lack "npm"; return; }
  # The stamp is made after a complete installation.
  if [ "$folder/node_modules/.cambio-lock" -nt "$folder/package-lock.json" ]; then
    say "npm packages: all there"
    return
  fi
  say "npm packages: installing"
  (cd "$folder" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error && touch node_modules/.cambio-lock) || lack "npm packages"
}

go_modules() {
  say "Go client libraries: modules and build"
  (cd "$here/../clients/go" && GOTOOLCHAIN=local go build -trimpath -o /dev/null .) || lack "Go modules of test/clients/go"
}

# Builds one command of Kubernetes into the cache. The binary is kept, so this happens once.
kubernetes_command() {
  local name=$1 out=$cache/$1-v$kubernetes v=k8s.io/component-base/version
  if [ -x "$out" ]; then
    say "$name v$kubernetes: $out"
    return
  fi
  say "$name v$kubernetes: building; with an empty build cache kube-apiserver takes 10 to 20 minutes on two cores"
  mkdir -p "$cache"
  build() {
    cd "$here/kube" &&
      GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -trimpath \
        -ldflags "-s -w -X $v.gitVersion=v$kubernetes -X $v.gitMajor=1 -X $v.gitMinor=37" \
        -o "$out.tmp.$$" "k8s.io/kubernetes/cmd/$name" &&
      mv "$out.tmp.$$" "$out"
  }
  with_progress "$name" build || lack "$name v$kubernetes"
}

# Any kubectl of the last years will do; Debian 12's is too old, so a missing one is built.
kubectl_command() {
  if type -P kubectl >/dev/null; then
    say "kubectl: $(type -P kubectl)"
  else
    kubernetes_command kubectl
  fi
}

# Builds a program of the module tools into a folder of its own, again when the module's versions change.
tool() {
  local name=$1 package=$2 out=$cache/tools/$1/$1
  if [ "$out" -nt "$here/tools/go.mod" ]; then
    say "$name: $out"
    return
  fi
  mkdir -p "$cache/tools/$name"
  build() {
    cd "$here/tools" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out.tmp.$$" "$package" && mv "$out.tmp.$$" "$out"
  }
  with_progress "$name" build || lack "$name"
}

debian_packages
npm_packages
go_modules
kubernetes_command kube-apiserver
kubectl_command
tool act github.com/nektos/act
tool kubelogin github.com/Azure/kubelogin

if [ "$missing" -gt 0 ]; then
  say "$missing part(s) missing: their tests will be skipped"
  [ "${CI:-}" != true ] || { say "CI=true: that is an error"; exit 1; }
else
  say "all parts are there"
fi
