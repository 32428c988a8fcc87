#!/bin/sh
# One night: measures every suite on every device with the tag "nightly", then measures again what only this night shows.
# `edgeward nightly` wrote it; it is yours to edit. Ends with 0 where every case passed and nothing became worse for good,
# with 1 where one failed, was not measured or became worse, with another code where nothing was measured.
#
# EDGEWARD_STORE  where the results go and the nights before are found, an SQLAlchemy URL; without it
#                 reports/results.sqlite in this folder, which must then outlive the night
# EDGEWARD_BIN    the folder of `pytest` and `edgeward`; without it .venv/bin, made here from requirements.txt
set -eu
cd "$(dirname "$0")"

if [ -z "${EDGEWARD_BIN:-}" ]; then
  EDGEWARD_BIN=.venv/bin
  [ -x "$EDGEWARD_BIN/pip" ] || python3 -m venv .venv
  "$EDGEWARD_BIN/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
fi

code=0
"$EDGEWARD_BIN/pytest" suites --device tag:nightly --junitxml=reports/nightly.xml --markdown=reports/nightly.md "$@" || code=$?
[ "$code" -le 1 ] || exit "$code"
# Remove this line if a case that fails is all that shall wake somebody; reports/watch.json can go to a webhook as it is.
"$EDGEWARD_BIN/edgeward" watch --again --markdown=reports/watch.md --json=reports/watch.json || code=$?
exit "$code"
