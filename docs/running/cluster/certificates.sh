#!/bin/sh
# Certificates for a cluster, with openssl: docs/cluster.md. In an empty folder of a machine that you trust:
#   sh certificates.sh a.example.com b.example.com c.example.com
# For each machine one for its NATS server and one for its daemon, of an authority that signs nothing else. ALSO=NAME
# before it puts the name of a load balancer into all.
set -eu
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Descartes cluster" \
  -keyout ca.key -out ca.pem
for host; do
  mkdir "$host"
  cp ca.pem "$host"
  for who in nats descartes; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$who@$host" \
      -keyout "$host/$who.key" -out "$host/$who.csr"
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$host${ALSO:+,DNS:$ALSO}" >"$host/$who.ext"
    openssl x509 -req -in "$host/$who.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 \
      -extfile "$host/$who.ext" -out "$host/$who.pem"
    rm "$host/$who.csr" "$host/$who.ext"
  done
done
