# Becomes a container's program: ROOT [SOURCE=TARGET=MODE]… -- CONFINEMENT PROGRAM ARGUMENT…
# The root is a file system of its own with this machine's programs and libraries; SOURCE empty is the root itself.
set -eu
mount --make-rprivate /
root=$1
shift
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
for d in bin sbin lib lib32 lib64 libx32 usr; do
	if [ -L "/$d" ]; then
		cp -P "/$d" .
	elif [ -d "/$d" ]; then
		mkdir "$d"
		mount --bind "/$d" "$d"
	fi
done
mkdir -p proc sys dev etc/ssl run var root tmp
chmod 1777 tmp
for d in proc sys dev; do mount --rbind "/$d" "$d"; done
for f in passwd group nsswitch.conf hosts; do
	if [ -e "/etc/$f" ]; then cp "/etc/$f" etc/; fi
done
if [ -d /etc/ssl ]; then mount --bind /etc/ssl etc/ssl; fi
ln -s ../run var/run
while [ "$1" != -- ]; do
	source=${1%%=*} rest=${1#*=}
	target=${rest%=*} mode=${rest##*=}
	if [ -n "$source" ]; then
		if [ -d "$source" ]; then
			mkdir -p "$root$target"
		else
			mkdir -p "$(dirname "$root$target")"
			touch "$root$target"
		fi
		mount --bind "$source" "$root$target"
		if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root$target"; fi
	else
		mount -o remount,ro "$root"
	fi
	shift
done
confinement=$2
shift 2
# shellcheck disable=SC2086
exec chroot "$root" setpriv $confinement "$@"
