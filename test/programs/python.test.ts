/** python3: threads, subprocess, mmap, sqlite3, sockets, signals, files. The system's own, not one that a version manager put into PATH. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';

const python = '/usr/bin/python3';
const expectRun = (source: string) => expectSame([python, '-c', source], { timeoutMs: 60_000 });

describe.runIf(existsSync(python))('python3', () => {
  test('pass', async () => {
    await expectRun('pass');
  });

  test('threads with locks, queues and events', async () => {
    const { stdout } = await expectRun(`
import threading, queue, time
total = 0
lock = threading.Lock()
q = queue.Queue(10)
def worker():
    global total
    while (item := q.get()) is not None:
        with lock: total += item
threads = [threading.Thread(target=worker) for _ in range(8)]
for t in threads: t.start()
for i in range(2000): q.put(i)
for t in threads: q.put(None)
for t in threads: t.join()
print(total)
event = threading.Event()
threading.Timer(0.05, event.set).start()
print(event.wait(5), event.wait(0))
b = threading.Barrier(4)
order = []
def meet(): b.wait(); order.append(1)
ts = [threading.Thread(target=meet) for _ in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
print(len(order))`);
    expect(stdout).toBe('1999000\nTrue True\n4\n');
  });

  test('subprocess', async () => {
    await expectRun(`
import subprocess, sys, os, signal
print(subprocess.run(['echo', 'hello'], capture_output=True, text=True).stdout, end='')
print(subprocess.run('cat; exit 3', shell=True, input=b'x' * 300000, capture_output=True).returncode)
print(len(subprocess.check_output(['head', '-c', '300000', '/dev/zero'])))
p = subprocess.Popen(['sleep', '10']); p.terminate(); print(p.wait())
try: subprocess.run(['sleep', '10'], timeout=0.1)
except subprocess.TimeoutExpired: print('timeout')
try: subprocess.run(['/missing'])
except FileNotFoundError as e: print(e.errno)
p1 = subprocess.Popen(['seq', '5'], stdout=subprocess.PIPE)
p2 = subprocess.Popen(['tac'], stdin=p1.stdout, stdout=subprocess.PIPE, text=True); p1.stdout.close()
print(p2.communicate()[0].split())
print(subprocess.run([sys.executable, '-c', 'import os; print(os.getsid(0) == os.getpid())'], start_new_session=True, capture_output=True, text=True).stdout, end='')
r, w = os.pipe()
subprocess.run(['sh', '-c', f'echo through >&{w}'], pass_fds=[w]); print(os.read(r, 100))`);
  });

  test('mmap and shared memory', async () => {
    await expectRun(`
import mmap, os, struct
from multiprocessing import shared_memory
with open('f', 'wb') as f: f.write(b'\\0' * 10000)
with open('f', 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0)
    m[5000:5005] = b'hello'
    print(m.find(b'hello'), m.size()); m.flush()
    f.seek(5000); print(f.read(5))
    m.resize(20000); m[19999] = 7; m.close()
print(os.stat('f').st_size)
m = mmap.mmap(-1, 4096)
if os.fork() == 0:
    m[0:4] = struct.pack('i', 1234); os._exit(0)
os.wait(); print(struct.unpack('i', m[0:4]))
s = shared_memory.SharedMemory(create=True, size=100)
t = shared_memory.SharedMemory(s.name); t.buf[3] = 9; print(s.buf[3]); t.close(); s.close(); s.unlink()`);
  });

  test('sqlite3', async () => {
    await expectRun(`
import sqlite3, threading
c = sqlite3.connect('d.db'); c.execute('create table t(a, b)')
with c: c.executemany('insert into t values(?, ?)', ((i, str(i) * 3) for i in range(10000)))
print(c.execute('select sum(a), max(length(b)) from t').fetchone())
def write(n):
    d = sqlite3.connect('d.db', timeout=30)
    for i in range(5):
        with d: d.execute('insert into t values(?, ?)', (n, 'thread'))
ts = [threading.Thread(target=write, args=(n,)) for n in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
print(c.execute("select count(*) from t where b = 'thread'").fetchone(), c.execute('pragma integrity_check').fetchone())
m = sqlite3.connect(':memory:'); print(m.execute('select 6 * 7').fetchone())`);
  });

  test('multiprocessing and pools', async () => {
    await expectRun(`
import multiprocessing as mp, os
def square(x): return x * x
def put(q): q.put(os.getpid() != os.getppid())
if __name__ == '__main__':
    with mp.Pool(3) as p: print(sum(p.map(square, range(500))))
    q = mp.Queue(); p = mp.Process(target=put, args=(q,)); p.start(); print(q.get()); p.join(); print(p.exitcode)
    v = mp.Value('i', 0)
    def add():
        for _ in range(200):
            with v.get_lock(): v.value += 1
    ps = [mp.Process(target=add) for _ in range(3)]; [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)`);
  });

  test('Unix sockets, selectors, asyncio', async () => {
    await expectRun(`
import asyncio, socket, os, selectors, threading
a, b = socket.socketpair(); a.sendall(b'x' * 1000); print(len(b.recv(2000)))
async def serve(reader, writer):
    writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
async def main():
    server = await asyncio.start_unix_server(serve, 's')
    async def ask(i):
        r, w = await asyncio.open_unix_connection('s'); w.write(f'hello {i}\\n'.encode()); line = await r.readline(); w.close(); return line
    print(sorted(await asyncio.gather(*(ask(i) for i in range(10)))))
    server.close()
    p = await asyncio.create_subprocess_exec('sh', '-c', 'cat; exit 4', stdin=-1, stdout=-1)
    print(await p.communicate(b'through'), p.returncode)
    try: await asyncio.wait_for(asyncio.sleep(5), 0.05)
    except asyncio.TimeoutError: print('timeout')
asyncio.run(main())
l = socket.socket(socket.AF_UNIX); l.bind('\\0abstract-py-%d' % os.getpid()); l.listen(); print(l.getsockname()[:10])
f = open('g', 'w+'); socket.send_fds(a, [b'fd'], [f.fileno()]); msg, fds, *_ = socket.recv_fds(b, 10, 1); os.write(fds[0], b'sent'); f.seek(0); print(msg, f.read())`);
  });

  test('signals, timers and time', async () => {
    await expectRun(`
import signal, time, os, resource, select
got = []
signal.signal(signal.SIGALRM, lambda n, f: got.append(n)); signal.setitimer(signal.ITIMER_REAL, 0.05)
t = time.monotonic(); time.sleep(0.15); print(got, time.monotonic() - t >= 0.15)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); os.kill(os.getpid(), signal.SIGUSR1); print(signal.sigpending(), signal.sigwait([signal.SIGUSR1]))
def stop(n, f): raise KeyboardInterrupt
signal.signal(signal.SIGINT, stop)
try: os.kill(os.getpid(), signal.SIGINT); time.sleep(5)
except KeyboardInterrupt: print('interrupted')
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0, abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 1)
r, w = os.pipe(); e = select.epoll(); e.register(r, select.EPOLLIN); os.write(w, b'x'); print(e.poll(1) == [(r, select.EPOLLIN)])`);
  });

  test('files and directories', async () => {
    await expectRun(`
import os, shutil, tempfile, pathlib, stat, fcntl, glob
with tempfile.TemporaryDirectory(dir='.') as d:
    p = pathlib.Path(d, 'a', 'b'); p.mkdir(parents=True); (p / 'f').write_text('text'); os.symlink('f', p / 'l'); os.chmod(p / 'f', 0o640)
    print(sorted(x.name for x in p.iterdir()), oct(os.stat(p / 'f').st_mode), (p / 'l').is_symlink())
    shutil.copytree(d, 'copy', symlinks=True)
print([(r.replace(os.sep, '/'), sorted(ds), sorted(fs)) for r, ds, fs in sorted(os.walk('copy'))])
shutil.rmtree('copy'); print(os.path.exists('copy'))
f = open('x', 'w+b', buffering=0); fcntl.flock(f, fcntl.LOCK_EX); f.write(b'0123456789'); os.pwrite(f.fileno(), b'AB', 3); print(os.pread(f.fileno(), 10, 0)); os.ftruncate(f.fileno(), 4); print(os.fstat(f.fileno()).st_size)
os.utime('x', ns=(1000, 2000)); print(os.stat('x').st_mtime_ns); print(sorted(e.name for e in os.scandir('.')), os.listdir('/proc/self/fd') != [])
os.setxattr('x', 'user.k', b'v'); print(os.getxattr('x', 'user.k'), os.listxattr('x'))`);
  });

  test('a traceback goes to standard error and the status is 1', async () => {
    await expectSame([python, '-c', 'raise SystemError("no")'], { status: 1 });
  });
});
