#!/usr/bin/env bash
# The quickstart, told as it runs: a sample repository, a first apply, a commit, a new plan.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
davit=${DAVIT:-davit}
work=${QUICKSTART_DIR:-$(mktemp -d)}
address=${QUICKSTART_ADDRESS:-127.0.0.1:5100}

say() { if [ -t 1 ]; then printf '\n\033[1m# %s\033[0m\n' "$*"; else printf '\n# %s\n' "$*"; fi; }
run() { printf '$ %s\n' "$*"; "$@"; }
commit() { git -C "$work/app" add -A && git -C "$work/app" -c user.name='Quick Start' -c user.email=quickstart@example.com commit -qm "$1"; }

cp "$here/davit.hcl" "$work/"
cp -R "$here/app" "$work/app"
cd "$work"
export DAVIT_VAR_repository=$work/app DAVIT_VAR_registry=$address DAVIT_CACHE_DIR=$work/.cache

say "A sample repository in $work/app"
git init -q -b main app
commit "The first page"

say "A small registry that is part of davit"
"$davit" registry serve -address "$address" -dir "$work/.registry" >"$work/registry.log" 2>&1 &
registry=$!
trap 'kill $registry 2>/dev/null; wait $registry 2>/dev/null || true' EXIT
for _ in $(seq 50); do grep -q Serving "$work/registry.log" && break; sleep 0.1; done
grep -q Serving "$work/registry.log" || { cat "$work/registry.log" >&2; echo "Is $address taken? Set QUICKSTART_ADDRESS to another host:port." >&2; exit 1; }

say "The first plan, and its apply"
run "$davit" plan -out=first.davit
run "$davit" apply first.davit

say "A second commit"
echo '<h1>Hello again</h1>' >app/site/index.html
commit "Greet again"
run "$davit" plan -out=second.davit
run "$davit" apply second.davit

say "Nothing is left to do, and a commit that changes nothing here changes nothing"
echo 'Notes' >app/NOTES
commit "Take notes"
run "$davit" plan

say "The manifests that davit wrote"
run ls out
printf '\nEverything is in %s. Try davit there.\n' "$work"
