#!/bin/sh
# Sees to it that what pip cannot bring is there. As root on Debian it installs what is missing; elsewhere it says what is.
#   system.sh demo    a Python that can make virtual environments, and curl
#   system.sh translations    what extracts and compiles messages
#   system.sh docs    what the documentation shows at work
#   system.sh test    that, and what mysqlclient is built with
set -eu

python=${PYTHON:-python3.11}
missing=

want() {  # want PACKAGE COMMAND...: the package is missing if the command fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

case $1 in
demo)
    want python3-venv "$python" -c 'import ensurepip'
    want curl curl --version
    ;;
docs)
    want curl curl --version
    want jq jq --version
    ;;
translations)
    want gettext msgfmt --version
    ;;
test)
    want gettext msgfmt --version
    want jq jq --version
    want gcc cc --version
    want pkg-config pkg-config --version
    want chromium sh -c 'command -v chromium || command -v chromium-browser || command -v google-chrome'
    want libmariadb-dev sh -c 'pkg-config --exists libmariadb || pkg-config --exists mysqlclient'
    want python3-dev "$python" -c 'import sysconfig; open(sysconfig.get_path("include") + "/Python.h")'
    ;;
esac

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing on this machine (by Debian's names):$missing. Install it, then run make again." >&2
    exit 1
fi
echo "Installing$missing" >&2
apt-get update -qq
# shellcheck disable=SC2086  # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $missing >/dev/null
