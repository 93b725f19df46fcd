# What an administrator types on a Debian with nfs-common, with the tutorial's directory. Each report says of which command
# it is.

report "multi-user"
server=@address@
directory=@export@
# Where rpc.statd keeps its state has to be writable; the root is not.
mkdir /run/nfs-state
cp -a /var/lib/nfs/. /run/nfs-state
mount --bind /run/nfs-state /var/lib/nfs

# run NAME COMMAND..: says the status, and each line that came of it.
run() {
    name=$1
    shift
    status=0
    timeout 60 "$@" >/tmp/said 2>&1 || status=$?
    report "status $name $status"
    while read -r line; do
        report "said $line"
    done </tmp/said
}

# As in the tutorial, without any option.
run mount mount -v -t nfs $server:$directory /mnt
run options grep ' /mnt ' /proc/mounts
run listing ls -A /mnt
run sum sha256sum /mnt/casper/filesystem.squashfs
run touch touch /mnt/new
run statd systemctl is-active rpc-statd.service
run directories showmount --directories $server
# The server's lock manager refuses each lock at once, also one that a program would wait for.
run lock flock --nonblock /mnt/README true
run lock-wait flock --shared /mnt/README true
run umount umount /mnt

run exports showmount --exports $server
run programs rpcinfo -p $server
run version-3 rpcinfo -T tcp $server nfs 3
run version-4 rpcinfo -T tcp $server nfs 4

run nolock mount -t nfs -o nolock $server:$directory/casper /mnt
run nolock-lock flock --nonblock /mnt/filesystem.squashfs true
run nolock-umount umount /mnt
run by-4.2 mount -t nfs -o vers=4.2 $server:$directory /mnt
run absent mount -t nfs $server:$directory/absent /mnt
run absent-3 mount -t nfs -o vers=3 $server:$directory/absent /mnt
run foreign mount -t nfs $server:/etc /mnt
run tcp mount -t nfs -o vers=3,nolock,mountproto=tcp $server:$directory /mnt
run tcp-umount umount /mnt

run busybox busybox mount -t nfs -o nolock $server:$directory /mnt
run busybox-sum sha256sum /mnt/casper/filesystem.squashfs
run busybox-umount busybox umount /mnt

# klibc's nfsmount, with which the initramfs of casper and live-boot mounts.
run klibc /usr/lib/klibc/bin/nfsmount $server:$directory /mnt
run klibc-options grep ' /mnt ' /proc/mounts
run klibc-sum sha256sum /mnt/casper/filesystem.squashfs
run klibc-umount umount /mnt
run klibc-ro /usr/lib/klibc/bin/nfsmount -o ro,nolock,tcp,v3,port=2049,rsize=32768,timeo=50,retrans=5 $server:$directory /mnt
run klibc-ro-options grep ' /mnt ' /proc/mounts
run klibc-ro-sum sha256sum /mnt/casper/filesystem.squashfs
run klibc-ro-umount umount /mnt
