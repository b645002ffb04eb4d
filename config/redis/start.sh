#!/bin/sh
# Starts Redis with the users of users.acl, beside this file. It names passwords by variables of
# the environment, and Redis gets the SHA-256 of each. An ACL file itself can hold no comments:
#
# - a client without a user name gets no access ("default off");
# - a log's channel is eventstore:LOG-ID, and no user has a right to any key;
# - only the master publishes: a worker has the key that signs, but not the right to send.
set -eu
umask 077
hash() { printf %s "${1:?a password is missing: see .env.example}" | sha256sum | cut -d ' ' -f 1; }
sed -e "s/@MASTER_PASSWORD@/$(hash "${MASTER_PASSWORD:-}")/" \
    -e "s/@WORKER_PASSWORD@/$(hash "${WORKER_PASSWORD:-}")/" \
    "$(dirname "$0")/users.acl" >/data/users.acl
unset MASTER_PASSWORD WORKER_PASSWORD
exec redis-server "$(dirname "$0")/redis.conf"
