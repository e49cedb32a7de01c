#!/bin/sh
# Builds influxd of InfluxDB 2.7 from its published source, for the tests that can have a real one: Debian has 1.6 only.
#
#   tests/tools/build_influxd2.sh FOLDER     makes FOLDER/bin/influxd (Go, Rust and pkg-config needed; some five minutes on two cores)
#   INFLUXD2=FOLDER/bin/influxd make test
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
version=v2.7.11
mkdir -p "$folder/bin"
export GOBIN="$folder/bin" GOFLAGS="-buildvcs=false -mod=mod"
source=$(cd "$folder" && go mod download -json "github.com/influxdata/influxdb/v2@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
rm -rf "$folder/source" && cp -r "$source" "$folder/source" && chmod -R u+w "$folder/source"
cd "$folder/source"
# Only the server is wanted: pages and description of the interface stay empty.
mkdir -p static/data/build && echo '<html></html>' > static/data/build/index.html && echo '{}' > static/data/swagger.json
# Its query language is a Rust library that forbids warnings, of which a newer compiler has more; it also names an older one.
printf '#!/bin/sh\ncompiler="$1"; shift\nexec "$compiler" "$@" --cap-lints allow\n' > "$folder/bin/rustc-lenient"
chmod +x "$folder/bin/rustc-lenient"
export RUSTC_WRAPPER="$folder/bin/rustc-lenient" RUSTUP_TOOLCHAIN="${RUSTUP_TOOLCHAIN:-stable}"
go install github.com/influxdata/pkg-config@v0.2.7
PKG_CONFIG="$folder/bin/pkg-config" go build -o "$folder/bin/influxd" ./cmd/influxd
"$folder/bin/influxd" version
