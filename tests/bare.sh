#!/bin/sh
# Follow the README on a bare Debian with nothing but git and make: its commands for working on it, word for word.
#   bare.sh SUITE [ACCOUNT...]    bookworm or trixie; root and user, who has sudo
# Needs root, debootstrap, and what this machine reaches Debian's packages and PyPI by. Tests what is committed.
set -eu

suite=$1
shift
[ $# -gt 0 ] || set -- root user
cd "$(dirname "$0")/.."
work=$(mktemp -d /var/tmp/bare-XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# The mirror of this machine, if it is a Debian.
mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 2>/dev/null | sed -n 's/^Debian //p' | head -n 1)
echo "Bare $suite ..."
# shellcheck disable=SC2086  # nothing, where there is no mirror
debootstrap --variant=minbase --include=git,make,sudo "$suite" "$work/bare" $mirror >"$work/log" ||
    { tail -n 20 "$work/log"; exit 1; }
# No service is started where the system does not run.
printf '#!/bin/sh\nexit 101\n' >"$work/bare/usr/sbin/policy-rc.d"
chmod +x "$work/bare/usr/sbin/policy-rc.d"
chroot "$work/bare" useradd --create-home --shell /bin/sh user
echo 'user ALL=(ALL) NOPASSWD: ALL' >"$work/bare/etc/sudoers.d/user"

# How the network is reached from here: names, proxies, indexes and certificates.
cp /etc/resolv.conf /etc/hosts "$work/bare/etc/"
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$work/bare/etc/"
apt-config dump | grep -iE '^Acquire::(https?::|Check-)' >"$work/bare/etc/apt/apt.conf.d/90machine" || true
mkdir "$work/bare/srv/machine"
env | grep -iE '^(https?_proxy|no_proxy|PIP_[A-Z_]*|UV_[A-Z_]*|[A-Z_]*(CERT_FILE|CA_BUNDLE|CAINFO)|NODE_EXTRA_CA_CERTS)=' |
while IFS='=' read -r name value; do
    if [ -f "$value" ]; then
        cp "$value" "$work/bare/srv/machine/$name"
        value=/srv/machine/$name
    fi
    printf "export %s='%s'\n" "$name" "$value"
done >"$work/bare/srv/machine/environment"

# The commands of the first block of the README's section "Development".
awk '/^Development/ { here = 1 }
    here && sub(/^ +\$ /, "") { sub(/ *#.*/, ""); print; seen = 1 }
    seen && /^$/ { exit }' README.rst >"$work/commands"

for account; do
    home=$(awk -F: -v account="$account" '$1 == account { print $6 }' "$work/bare/etc/passwd")
    cp -a "$work/bare" "$work/$account"
    git clone --quiet . "$work/$account$home/project"
    chroot "$work/$account" chown -R "$account:" "$home/project"
    while read -r command; do
        echo "$suite, $account: $command"
        # A namespace of its own: whatever is left running ends with it.
        unshare --mount --pid --fork sh -eu tests/inside.sh "$work/$account" "$account" "$command" </dev/null
    done <"$work/commands"
    rm -rf "${work:?}/$account"
done
