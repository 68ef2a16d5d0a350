#!/bin/sh
# For bare.sh, in a mount namespace of its own: run one command in the project's folder of a bare Debian.
#   inside.sh ROOT ACCOUNT COMMAND
# Where the command names an apt line, run that as the README says, and the command again.
set -eu

account=$2
command=$3
log=/srv/log

mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount --rbind /dev "$1/dev"
# Not chroot: in one, nobody may make a user namespace, as a test does.
mkdir -p "$1/srv/outside"
cd "$1"
pivot_root . srv/outside
umount -l /srv/outside

follow() {  # follow COMMAND: as a person does who has logged in and changed to the project's folder
    # shellcheck disable=SC2016  # expanded there
    su --login "$account" --command '. /srv/machine/environment && cd project && eval "$0"' "$1"
}

rm -f /srv/failed
{ follow "$command" || touch /srv/failed; } 2>&1 | tee "$log"
if [ -e /srv/failed ]; then
    line=$(sed -n 's/^ *\(sudo apt-get install .*\)/\1/p' "$log")
    [ -n "$line" ] || exit 1
    follow "sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $line --yes -qq >/dev/null" && follow "$command"
fi
