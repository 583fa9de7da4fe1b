# What the build runs once in a sandbox, so that the code cache of the sentry holds the functions that programs commonly need (bin/build.ts):
# files of each kind made, read, listed, renamed and removed; pipes, processes, signals, waiting; and enough calls in a row for the fast
# path of system calls. Nothing here has to succeed: what is not installed warms nothing up.
d=/tmp/warm-up
mkdir -p $d/a/b && cd $d || exit 0
for i in 1 2 3; do echo "line $i" >> list; done
cat list | sort -r | grep -c line > count
ls -la / /proc/self /dev > listing 2> errors
cp list a/copy; mv a/copy a/b/moved; ln a/b/moved hard; ln -s a/b/moved soft; cat soft hard > both
chmod 600 both; touch -d 2020-01-01 both; rm hard; readlink soft > target
find / -maxdepth 2 > found 2> errors
tar cf tree.tar a list soft 2> errors && tar tf tree.tar > names
dd if=list of=pieces bs=1 count=20 2> errors
(sleep 0.01; exit 3) & wait $!
trap 'echo caught' USR1; kill -USR1 $$
kill -9 $(sh -c 'sleep 5 > errors 2>&1 & echo $!') 2> errors
i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo $i; done > numbers
i=0; while [ $i -lt 20 ]; do i=$((i + 1)); /bin/true; done
cat /proc/self/status /proc/meminfo /proc/cpuinfo /proc/mounts > proc 2> errors
cd /; rm -r $d
exit 0
