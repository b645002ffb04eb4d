#!/bin/sh
# Writes .env: .env.example, with 48 random hexadecimal digits for each name without a value.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env is there already: remove it if the passwords in it are not in use" >&2
    exit 1
fi
umask 077
trap 'rm -f .env.new' EXIT
while IFS= read -r line; do
    case $line in
        [A-Z]*=) line=$line$(od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
    esac
    printf '%s\n' "$line"
done <.env.example >.env.new
mv .env.new .env
echo "wrote .env: keep it, and keep it secret"
