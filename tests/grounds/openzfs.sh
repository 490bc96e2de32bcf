#!/usr/bin/env bash
# Runs the tests of snapshots on OpenZFS proper: a small virtual machine with Debian's kernel, zfs-dkms and nothing else.
#
# Needs Debian, root and the network; the first run takes a quarter of an hour (the kernel module is compiled), a later one a
# few minutes. The processor is emulated, so that no support for virtual machines is needed. What is made stays in
# HONEYGRAPH_OPENZFS (~/.cache/honeygraph-openzfs). Ends with 0 when all tests passed; the machine's console is the output.
set -euo pipefail
cd "$(dirname "$0")/../.."

home=${HONEYGRAPH_OPENZFS:-$HOME/.cache/honeygraph-openzfs}
target=${CARGO_TARGET_DIR:-$PWD/target}
root=$home/root initrd=$home/initrd
export DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin

tools() {
    local wanted=()
    command -v debootstrap >/dev/null || wanted+=(debootstrap)
    command -v qemu-system-x86_64 >/dev/null || wanted+=(qemu-system-x86)
    command -v cpio >/dev/null || wanted+=(cpio)
    command -v depmod >/dev/null || wanted+=(kmod)
    [ ${#wanted[@]} -eq 0 ] || { apt-get update -q && apt-get install -qy --no-install-recommends "${wanted[@]}"; }
}

# A Debian with the kernel and the module for it.
system() {
    [ -e "$root/ready" ] && return
    rm -rf "$root" && mkdir -p "$root"
    debootstrap --variant=minbase --components=main,contrib bookworm "$root"
    # Nothing is started in there.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
    # Whatever fails in there, its /proc does not stay mounted: the next run removes the folder.
    (
        mount -t proc proc "$root/proc"
        trap 'umount "$root/proc"' EXIT
        chroot "$root" apt-get update -q
        chroot "$root" apt-get install -qy --no-install-recommends linux-image-cloud-amd64 linux-headers-cloud-amd64 \
            zfs-dkms zfsutils-linux busybox-static kmod
        chroot "$root" dkms autoinstall -k "$(ls "$root/lib/modules" | sort -V | tail -n 1)"
    )
    touch "$root/ready"
}

# The libraries of these programs, as they are where the programs are.
libraries() {
    local from=$1 list
    shift
    list=$([ "$from" = / ] && ldd "$@" || chroot "$from" ldd "$@")
    grep -oE '/[^ )]+\.so[^ )]*' <<<"$list" | sort -u | while read -r library; do
        mkdir -p "$initrd$(dirname "$library")" && cp -L "$from/$library" "$initrd$library"
    done
}

pack() {
    local kernel programs=() program
    kernel=$(ls "$root/lib/modules" | sort -V | tail -n 1)
    mapfile -t programs < <(cargo test --no-run --locked -p honeygraph -p honeygraph-testnet --test snapshots --test checkpoints 2>&1 |
        sed -n 's/.*Executable .* (\(.*\))/\1/p')
    [ ${#programs[@]} -eq 2 ] || { echo "the tests were not built" >&2; return 1; }
    rm -rf "$initrd" && mkdir -p "$initrd"/{bin,sbin,usr/bin,usr/sbin,etc,proc,sys,dev,tmp,tests}
    cp "$root/bin/busybox" "$initrd/bin/"
    for program in zfs zpool; do cp "$root/sbin/$program" "$initrd/sbin/"; done
    libraries "$root" /sbin/zfs /sbin/zpool
    libraries / "${programs[@]}" "$target/debug/honeygraph"
    for program in "${programs[@]}"; do strip -o "$initrd/tests/$(basename "${program%-*}")" "$program"; done
    # The tests know the program by its place.
    mkdir -p "$initrd$(realpath "$target")/debug" && strip -o "$initrd$(realpath "$target")/debug/honeygraph" "$target/debug/honeygraph"
    mkdir -p "$initrd/lib/modules/$kernel"
    (cd "$root/lib/modules/$kernel" && cp --parents -r updates modules.* "$initrd/lib/modules/$kernel/")
    depmod -b "$initrd" "$kernel"
    cat >"$initrd/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HONEYGRAPH_CI=1 RUST_BACKTRACE=0
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs -o size=90% tmp /tmp
ln -s /proc/self/mounts /etc/mtab
/sbin/ip link set lo up
modprobe zfs && zfs version
code=0
for test in /tests/*; do "$test" zfs --test-threads 1 || code=1; done
echo "openzfs: exit $code"
poweroff -f
INIT
    chmod +x "$initrd/init"
    (cd "$initrd" && find . | cpio -o -H newc --quiet | gzip -1 >"$home/initrd.gz")
    cp "$root/boot/vmlinuz-$kernel" "$home/kernel"
}

boot() {
    qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4096 -nographic -no-reboot -nic none \
        -kernel "$home/kernel" -initrd "$home/initrd.gz" -append "console=ttyS0 quiet panic=-1" </dev/null | tee "$home/console.log"
    grep -q '^openzfs: exit 0' "$home/console.log"
}

[ "$(id -u)" = 0 ] || { echo "only root can make a system in a folder" >&2; exit 2; }
tools
system
pack
boot
