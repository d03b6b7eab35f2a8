# Sourced by the scripts that prepare a machine: how they speak, and how they install packages of the system.
# shellcheck shell=bash
# Expects `log`, the file that gets the output of what is run.

say() { printf 'set-up: %s\n' "$*" >&2; }

# fail WHAT DO: one sentence, and what to do about it.
fail() {
    printf '\nset-up: cannot go on: %s\n        to do: %s\n' "$1" "$2" >&2
    exit 1
}

# quietly WORDS COMMAND…: runs a command with its output in the log, and says how long it took.
quietly() {
    local words=$1 start=$SECONDS
    shift
    say "$words …"
    printf '\n## %s\n## %s\n' "$words" "$*" >>"$log"
    if "$@" >>"$log" 2>&1 </dev/null; then
        [ $((SECONDS - start)) -lt 3 ] || say "  done in $((SECONDS - start)) s"
    else
        return 1
    fi
}

log_tail() { tail -n 12 "$log" | sed 's/^/        | /' >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo ${CI:+-n} env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# Not `grep -q`: that stops reading at the first match, and with pipefail what apt-cache still had to say makes it a failure.
candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep 'Candidate: [^(]' >/dev/null; }

apt_updated=
apt_update() {
    [ -z "$apt_updated" ] || return 0
    quietly 'refreshing the lists of packages' as_root apt-get update || say 'the lists could not all be refreshed; trying with what is there'
    apt_updated=yes
}

# can_install: whether packages can be installed here at all.
can_install() {
    command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1; }
}

# install WHY PACKAGE…
install() {
    local why=$1
    shift
    command -v apt-get >/dev/null 2>&1 || fail "$why is missing and this is not a Debian machine" "install $why with the system's own package manager, then run this again"
    can_install || fail "$why is missing, and installing it needs root" "as root run \`apt-get install $*\`, then this again"
    for package in "$@"; do candidate "$package" || apt_update; done
    quietly "installing $*" as_root apt-get install --yes --no-install-recommends "$@" && return
    # Old lists name files the mirror no longer has.
    apt_update
    quietly "installing $* again" as_root apt-get install --yes --no-install-recommends "$@" && return
    log_tail
    fail "\`apt-get install $*\` failed (above; the whole of it in $log)" "install $* by hand, then run this again"
}
