# Lays out the image: the program, the state directory that it may write, and the roots that it trusts CAs with. sh deploy/image.sh PROGRAM ROOT
set -eu
install -D --mode 0755 "$1" "$2/vrata"
setcap cap_net_bind_service=+ep "$2/vrata"
install -d --owner 65532 --group 65532 --mode 0700 "$2/var/lib/vrata"
install -D --mode 0644 /etc/ssl/certs/ca-certificates.crt "$2/etc/ssl/certs/ca-certificates.crt"
