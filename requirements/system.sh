#!/bin/sh
# Sees to it that what pip cannot bring is there. As root on Debian it installs what is missing; elsewhere it says what is.
#   system.sh demo    a Python that can make virtual environments, and curl
#   system.sh translations    what extracts and compiles messages
#   system.sh docs    what the documentation shows at work
#   system.sh test    all of that, a browser, servers, and what mysqlclient is built with
set -eu

python=${PYTHON:-python3}
missing=

want() {  # want PACKAGE COMMAND...: the package is missing if the command fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

want_demo() {
    want python3-venv "$python" -c 'import ensurepip'
    want curl curl --version
}

want_docs() {
    want_demo
    want jq jq --version
}

want_translations() {
    want_demo
    want gettext msgfmt --version
}

want_test() {
    want_docs
    want gettext msgfmt --version
    want gcc cc --version
    want pkg-config pkg-config --version
    want chromium sh -c 'command -v chromium || command -v chromium-browser || command -v google-chrome'
    want libmariadb-dev sh -c 'pkg-config --exists libmariadb || pkg-config --exists mysqlclient'
    want python3-dev "$python" -c 'import sysconfig; open(sysconfig.get_path("include") + "/Python.h")'
    [ -n "${TEST_MYSQL_URL:-}" ] || want 'mariadb-server-core mariadb-client-core' test -x /usr/sbin/mariadbd -a -x /usr/bin/my_print_defaults
    [ -n "${TEST_POSTGRES_URL:-}" ] || want postgresql sh -c 'ls /usr/lib/postgresql/*/bin/postgres'
    [ -n "${TEST_REDIS_URL:-}" ] || want redis-server redis-server --version
}

"want_$1"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Programs are missing on this machine. On Debian install them with" >&2
        echo "    sudo apt-get install --no-install-recommends$missing" >&2
        echo "and run make again." >&2
        exit 1
    fi
    echo "Installing$missing" >&2
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of names
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $missing >/dev/null
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is no Python 3.11 or later: name one, as in make PYTHON=/opt/python/bin/python3.12" >&2
    exit 1
fi
