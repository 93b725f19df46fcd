# What the scripts of guests with a Debian root begin with.
report() {
    echo "$*" >/dev/ttyS1
}
trap 'report "ended $?"' EXIT
set -eu
