#!/bin/sh
# One night: measures every suite on every device with the tag "nightly". `edgeward nightly` wrote it; it is yours to edit.
# Ends with 0 where every case passed, 1 where one failed or was not measured, another code where nothing was measured.
#
# EDGEWARD_STORE  where the results go and the nights before are found, an SQLAlchemy URL; without it
#                 reports/results.sqlite in this folder, which must then outlive the night
# EDGEWARD_BIN    the folder of `pytest`; without it .venv/bin, made here from requirements.txt
set -eu
cd "$(dirname "$0")"

if [ -z "${EDGEWARD_BIN:-}" ]; then
  EDGEWARD_BIN=.venv/bin
  [ -x "$EDGEWARD_BIN/pip" ] || python3 -m venv .venv
  "$EDGEWARD_BIN/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
fi

"$EDGEWARD_BIN/pytest" suites --device tag:nightly --junitxml=reports/nightly.xml --markdown=reports/nightly.md "$@"
