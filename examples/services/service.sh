#!/bin/sh
# service.sh NAME: stands for a service; the one called shaky does not last.
echo "$1 is up"
if [ "$1" = shaky ]; then
  echo "shaky: no more" >&2
  exit 1
fi
exec sleep infinity
