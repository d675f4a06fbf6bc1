#!/usr/bin/env bash
# scripts/twice.sh COMMAND...: runs it, and if it fails once more, and says so. That is for
# what plays people against the clock: on a machine that others use too, a browser or a head
# that turns falls behind now and then. What is broken fails twice. Each that needed it goes
# into the file that KOSMOSCOPE_TWICE names, which is shown at the end of the tests.
"$@" && exit
printf '\n== failed, so once more: %s\n' "$*"
"$@" || exit
printf '\n== passed the second time: %s\n' "$*"
[ -z "${KOSMOSCOPE_TWICE:-}" ] || echo "$*" >>"$KOSMOSCOPE_TWICE"
