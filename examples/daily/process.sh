#!/bin/sh
# process.sh DAY: writes tmp/<day>.csv: latitude,longitude,region of every place in the time zone
# table of tzdata, in degrees. Says where on descriptor 3.
set -eu
table=/usr/share/zoneinfo/zone1970.tab
day=$(printf %s "$1" | tr -c '0-9A-Za-z' -)
data=tmp/$day.csv

if [ ! -r "$table" ]; then
  echo "no $table: it is part of the package tzdata" >&2
  exit 1
fi
mkdir -p tmp
# Coordinates are written +DDMM+DDDMM or +DDMMSS+DDDMMSS (ISO 6709).
awk -F '\t' '
  function degrees(text, whole,   sign, value) {
    sign = substr(text, 1, 1) == "-" ? -1 : 1
    value = substr(text, 2, whole) + substr(text, 2 + whole, 2) / 60
    if (length(text) > whole + 3)
      value += substr(text, 4 + whole, 2) / 3600
    return sign * value
  }
  /^#/ || NF < 3 { next }
  match(substr($2, 2), /[-+]/) {
    region = $3
    sub(/\/.*/, "", region)
    printf "%.4f,%.4f,%s\n", degrees(substr($2, 1, RSTART), 2), degrees(substr($2, RSTART + 1), 3), region
  }
' "$table" > "$data.new"
mv "$data.new" "$data"
echo "processed $(wc -l < "$data") places for $1"
printf '{"data": "%s"}\n' "$data" >&3
