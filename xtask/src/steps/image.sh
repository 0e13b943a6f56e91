# Runs the image in networks and processes of its own, on the low ports, and prints what is seen of it: NAME VALUE, a line each.
# CONTAINER EXAMPLES BUILDAH…
set -eu
container=$1 examples=$2
shift 2
ip link set lo up
zone=dyn.cloud.e-infra.cz
"$@" run --isolation chroot --volume "$examples:/examples:ro" "$container" -- /vrata run --manifests /examples --state /var/lib/vrata --zone "$zone" \
	--http 127.0.0.1:80 --https 127.0.0.1:443 --dns 127.0.0.1:53 --admin 127.0.0.1:10254 >&2 &
tries=300
until curl --silent --fail --output /dev/null http://127.0.0.1:10254/readyz; do
	tries=$((tries - 1))
	if [ "$tries" = 0 ] || ! kill -0 $!; then
		echo "ready no"
		exit 1
	fi
	sleep 0.1
done
echo "ready yes"
echo "http $(curl --silent --output /dev/null --write-out '%{http_code}' --header "Host: hello.$zone" http://127.0.0.1/)"
echo "dns $(dig +short @127.0.0.1 "$zone" SOA | cut -d ' ' -f 1)"
program=$(pidof vrata)
sed -n 's/^\(Uid\|Gid\|CapEff\|CapPrm\):\t\([0-9a-f]*\).*/\1 \2/p' "/proc/$program/status"
kill -TERM "$program"
wait $! && echo "end 0" || echo "end $?"
