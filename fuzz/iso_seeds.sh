#!/usr/bin/env bash
# Makes seeds for the targets iso and iso_udf of small images that other programs make: names and modes, links, a moved directory,
# several extents, El Torito. Needs xorriso, genisoimage and udftools.
#   fuzz/iso_seeds.sh      fills fuzz/corpus/iso and fuzz/corpus/iso_udf
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p corpus/iso corpus/iso_udf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source=$work/source
mkdir -p "$source"/a/b/c/d/e/f/g/h/i "$source/empty directory"
echo hello >"$source/README.TXT"
echo deep >"$source/a/b/c/d/e/f/g/h/i/file"
head -c 5000 /dev/zero | tr '\0' x >"$source/three blocks"
: >"$source/Ünïcödé 漢字"
ln -s ../README.TXT "$source/a/link"
ln -s /etc/passwd "$source/absolute"
ln "$source/README.TXT" "$source/hard"
mkfifo "$source/fifo"
chmod 4750 "$source/three blocks"

# The first byte chooses the names, eight more are a node's number; the sectors before the descriptors are left out.
iso() { # iso NAME IMAGE
    local names
    for names in 0 1 2 3; do
        { printf "\\x0$names\\x00\\x90\\x00\\x00\\x00\\x00\\x00\\x00"; tail -c +32769 "$2"; } >"corpus/iso/$1-$names"
    done
}
# The sectors that are not zero, each behind its number.
udf() { # udf NAME IMAGE
    local count number
    count=$(($(stat -c %s "$2") / 2048))
    little() { printf "\\x$(printf %02x $(($1 % 256)))\\x$(printf %02x $(($1 / 256)))"; }
    {
        printf '\xffUDF\x02\x00\x00\x00\x00\x00\x00\x00'
        little "$count"
        for ((number = 0; number < count; number++)); do
            dd if="$2" bs=2048 skip=$number count=1 of="$work/sector" status=none
            if ! cmp -s -n 2048 "$work/sector" /dev/zero; then
                little "$number"
                cat "$work/sector"
            fi
        done
    } >"corpus/iso_udf/$1"
}

mkisofs() { xorriso -as mkisofs -quiet -no-pad "$@" 2>/dev/null; }
mkisofs -R -J -o "$work/x" "$source" && iso xorriso "$work/x"
mkisofs --norock -o "$work/x" "$source" && iso xorriso-plain "$work/x"
mkisofs -R -b README.TXT -no-emul-boot -boot-load-size 4 -eltorito-alt-boot -e "three blocks" -no-emul-boot -o "$work/x" "$source"
iso xorriso-boot "$work/x"
genisoimage -quiet -no-pad -R -J -o "$work/x" "$source" && iso genisoimage "$work/x"
genisoimage -quiet -no-pad -R -D -b README.TXT -c cat -no-emul-boot -o "$work/x" "$source" && iso genisoimage-boot "$work/x"
genisoimage -quiet -no-pad -R -J -udf -o "$work/x" "$source" && iso genisoimage-udf "$work/x" && udf genisoimage "$work/x"
for revision in 1.02 1.50 2.00 2.01; do
    rm -f "$work/x" && truncate -s 2M "$work/x"
    mkudffs -b 2048 -m hd -r $revision "$work/x" >/dev/null && udf mkudffs-$revision "$work/x"
done
du -sh corpus/iso corpus/iso_udf
