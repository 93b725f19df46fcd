# Writes to an export: first what has to be on disk before its reply, traced; then the exercisers.

mount -t nfs -o rw,nolock,tcp,vers=3 @address@:/srv/store /mnt
grep ' /mnt ' /proc/mounts
mkdir /mnt/sync
# Names: their directories have to be on disk.
mkdir /mnt/sync/names
echo one >/mnt/sync/names/one
ln /mnt/sync/names/one /mnt/sync/names/two
ln -s one /mnt/sync/names/link
mv /mnt/sync/names/two /mnt/sync/two
rm /mnt/sync/names/link /mnt/sync/names/one
rmdir /mnt/sync/names
# O_DIRECT, one block a call: FILE_SYNC. Then with a cache: UNSTABLE, and COMMIT.
dd if=/dev/urandom of=/mnt/sync/direct bs=4096 count=16 oflag=direct
dd if=/dev/urandom of=/mnt/sync/cached bs=65536 count=64 conv=fsync
report "written"

run() {
    name=$1
    shift
    status=0
    "$@" >/tmp/said 2>&1 || status=$?
    if [ $status != 0 ]; then
        tail -n 40 /tmp/said
    fi
    report "status $name $status"
}

for seed in 1 2 3; do
    run "fsx-$seed" fsx -N @fsx_operations@ -S $seed -P /tmp -f /fsx.toml /mnt/fsx-$seed
done

# Tests that cannot pass here are in pjdfstest.toml. Those that mount the file system read-only come first: others leave files open.
mkdir /mnt/pjdfstest
pjdfstest() {
    name=$1
    shift
    run "$name" /bin/pjdfstest -p /mnt/pjdfstest "$@"
    while read -r line; do
        case $line in
        *' ok' | *'failed as expected' | 'Remounts (allow_remount) are not allowed '* | '') ;;
        *) report "said $line" ;;
        esac
    done </tmp/said
}
pjdfstest pjdfstest-erofs -c /pjdfstest.toml erofs
sed 's/^allow_remount = true$/allow_remount = false/' /pjdfstest.toml >/tmp/pjdfstest.toml
pjdfstest pjdfstest -c /tmp/pjdfstest.toml
umount /mnt
