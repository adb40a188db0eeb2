#!/usr/bin/env bash
# The quickstart, told as it runs: a sample repository, a first apply, a commit, a new plan.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
davit=${DAVIT:-davit}
case $davit in /*) ;; */*) davit=$PWD/$davit ;; esac
work=${QUICKSTART_DIR:-$(mktemp -d)}
address=${QUICKSTART_ADDRESS:-127.0.0.1:5100}

say() { if [ -t 1 ]; then printf '\n\033[1m# %s\033[0m\n' "$*"; else printf '\n# %s\n' "$*"; fi; }
run() { printf '$ %s\n' "$*"; "$@"; }
commit() { git -C "$work/app" add -A && git -C "$work/app" -c user.name='Quick Start' -c user.email=quickstart@example.com commit -qm "$1"; }

cp "$here/davit.hcl" "$work/"
cp -R "$here/app" "$work/app"
cd "$work"
export DAVIT_CACHE_DIR=$work/.cache
cat >quickstart.auto.hclvars <<VARIABLES
repository = "$work/app"
registry   = "$address"
VARIABLES

say "A sample repository in $work/app"
git init -q -b main app
commit "The first page"

say "A small registry that is part of davit"
: >registry.log # before the loop below looks into it
"$davit" registry serve -address "$address" -dir .registry >registry.log 2>&1 &
registry=$!
trap 'kill $registry 2>/dev/null; wait $registry 2>/dev/null || true' EXIT
for _ in $(seq 50); do grep -q Serving registry.log && break; sleep 0.1; done
grep -q Serving registry.log || { cat registry.log >&2; echo "Is $address taken? Set QUICKSTART_ADDRESS to another host:port." >&2; exit 1; }

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
# What is typed next finds the variables in the folder; davit may not be on the PATH, and the registry ends with this script.
case $davit in */*) bin=$(cd "$(dirname "$davit")" && pwd) ;; *) bin=$(dirname "$(command -v "$davit")") ;; esac
cat <<NEXT

Everything is in $work. To go on there:

  cd $work
  export PATH=$bin:\$PATH
  davit registry serve -address $address -dir .registry &
  davit plan
  davit why application.manifests.hello

Change app/site/index.html, commit it with git, and plan again. "kill %1" ends the registry.
NEXT
