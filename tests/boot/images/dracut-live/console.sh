# dracut's init reads this first. The kernel was told of no console: what it said goes to the serial one from here.
dmesg >/dev/ttyS0
