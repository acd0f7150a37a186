#!/bin/sh
# Installs what the emulated machine needs on Debian and Ubuntu: QEMU, its firmware, a static busybox, and
# the keyring of the archive that the kernels come from. With --generate also what builds the eBPF programs.
set -eu

packages=
need() { # PACKAGE FILE...: the package is needed unless one of the files exists
	package=$1
	shift
	for file; do
		for found in $file; do
			if [ -e "$found" ]; then return 0; fi
		done
	done
	packages="$packages $package"
}

need qemu-system-x86 /usr/bin/qemu-system-x86_64 /usr/local/bin/qemu-system-x86_64
need seabios /usr/share/seabios/bios-256k.bin /usr/share/qemu/bios-256k.bin /usr/local/share/qemu/bios-256k.bin
need busybox-static /bin/busybox /usr/bin/busybox
need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
case ${1-} in
'') ;;
--generate)
	need clang-14 /usr/bin/clang-14
	need llvm-14 /usr/bin/llvm-strip-14
	need libbpf-dev /usr/include/bpf/bpf_helpers.h
	;;
*)
	echo "usage: test/vm/deps.sh [--generate]" >&2
	exit 2
	;;
esac

if [ -z "$packages" ]; then exit 0; fi
if ! command -v apt-get >/dev/null; then
	echo "deps.sh: missing:$packages (Debian's names); install them with this system's package manager" >&2
	exit 1
fi
install="apt-get install -y --no-install-recommends$packages"
if [ "$(id -u)" = 0 ]; then
	sudo=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	sudo="sudo -n"
else
	echo "deps.sh: run: sudo apt-get update && sudo $install" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # words on purpose
$sudo apt-get update -q
# shellcheck disable=SC2086
$sudo $install
