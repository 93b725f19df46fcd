# Reads a file of 64 MiB and a tree of 10,000 files from an export while its server dies twice.
# Each step says on the second serial port how far it is: the harness kills the server by that.

mount -t nfs -o ro,nolock,tcp,vers=3 @address@:@export@ /mnt
grep ' /mnt ' /proc/mounts
grep ' /mnt ' /proc/mounts | grep -q '[ ,]hard,'
report "mounted"

# Pieces of one file, read one after the other, are one reading of it.
read_pieces() {
    piece=0
    while [ $piece -lt 16 ]; do
        dd if=/mnt/large bs=1M count=4 skip=$((4 * piece)) 2>/tmp/dd || cat /tmp/dd >&2
        piece=$((piece + 1))
        report "read $((4 * piece)) MiB"
    done
}
sum=$(read_pieces | sha256sum)
report "large ${sum%% *}"

cd /mnt/tree
find . -type f >/tmp/found
sort /tmp/found >/tmp/files
report "found $(wc -l </tmp/files)"
summed=0
while [ $summed -lt @files@ ]; do
    sed -n "$((summed + 1)),$((summed + 500))p" /tmp/files | xargs sha256sum >>/tmp/sums
    summed=$((summed + 500))
    report "summed $summed"
done
sum=$(sha256sum </tmp/sums)
report "tree ${sum%% *}"

cd /
umount /mnt
# What the kernel said of the server, and nothing of input or output that failed.
dmesg | grep -i 'nfs' || true
if dmesg | grep -iE 'i/o error|stale'; then
    exit 1
fi
