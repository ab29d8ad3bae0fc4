# Ends the servers of a stack when the process that started them is gone, however it went.
#
# That process holds the other end of standard input and writes nothing on it: `read`
# returns when it ends. Servers carry the mark "$1" in their environment.
# What follows is removed in the end.
trap '' HUP INT QUIT TERM
read -r _

mark=$1
shift

servers() {
    grep -lszxF -e "$mark" /proc/[0-9]*/environ
}

# Tenths of a second. A server may have been forked and not yet show its mark, so that
# "none" must be seen for half a second.
tenths=0
none=0
while [ "$none" -lt 5 ]; do
    found=$(servers)
    if [ -z "$found" ]; then
        none=$((none + 1))
    else
        none=0
        if [ "$tenths" -lt 200 ]; then signal=TERM; else signal=KILL; fi
        # Once in five seconds: a second SIGTERM would hurry a server that is saving data.
        if [ $((tenths % 50)) -eq 0 ] || [ "$signal" = KILL ]; then
            for environ in $found; do
                pid=${environ#/proc/}
                kill -s "$signal" "${pid%/environ}"
            done
        fi
    fi
    sleep 0.1
    tenths=$((tenths + 1))
done

rm -rf -- "$@"
