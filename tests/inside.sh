#!/bin/sh
# For bare.sh, in a mount namespace of its own: run one command in the project's folder of a bare Debian.
#   inside.sh ROOT ACCOUNT COMMAND
# Where the command names an apt line, run that as the README says, and the command again.
set -eu

mount --make-rprivate /
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount --rbind /dev "$1/dev"

follow() {  # follow COMMAND: as a person does who has logged in and changed to the project's folder
    # shellcheck disable=SC2016  # expanded there
    chroot "$root" su --login "$account" --command '. /srv/machine/environment && cd project && eval "$0"' "$1"
}

root=$1
account=$2
log=$root/srv/log
rm -f "$root/srv/failed"
{ follow "$3" || touch "$root/srv/failed"; } 2>&1 | tee "$log"
if [ -e "$root/srv/failed" ]; then
    line=$(sed -n 's/^ *\(sudo apt-get install .*\)/\1/p' "$log")
    [ -n "$line" ] || exit 1
    follow "sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $line --yes -qq >/dev/null" && follow "$3"
fi
