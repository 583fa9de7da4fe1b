/** Tools that look at a network or measure it, over the loopback of the sandbox; and many connections, and a peer that dies. */
import { describe, expect, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { needsPrograms } from '../harness/needs-programs.ts';
import { isRootUnderTest, runInside } from '../harness/run.ts';

const expectScript = (text: string, timeoutMs = 60_000) => expectSame(['/bin/bash', '-ec', text], { timeoutMs });
const python = '/usr/bin/python3';

describe('measuring', () => {
  test('iperf3 in both directions, over IPv4 and IPv6, several streams, UDP', async (context) => {
    needsPrograms(context, 'iperf3', python);
    const received = `${python} -c "import json,sys; print(json.load(sys.stdin)['end']['sum_received']['bytes'] >= 20_000_000)"`;
    const round = (options: string) => `
      iperf3 -s -1 -p 5391 >/dev/null & server=$!
      for i in $(seq 100); do ss -Htln 2>/dev/null | grep -q :5391 && break; sleep 0.05; done; sleep 0.2
      iperf3 -p 5391 ${options}
      wait $server`;
    await expectScript(
      [
        round(`-J -c 127.0.0.1 -n 60M | ${received}`),
        round(`-J -c 127.0.0.1 -n 60M -R | ${received}`),
        round(`-J -c ::1 -n 60M -P 4 | ${received}`),
        round('-c 127.0.0.1 -u -b 20M -t 1 | grep -c receiver'),
      ].join('\n'),
    );
  });

  test('ping over IPv4 and IPv6', async (context) => {
    needsPrograms(context, 'ping');
    const summary = "sed -n 's/, time.*//; /transmitted/p'";
    await expectScript(
      `ping -c 3 -i 0.2 127.0.0.1 | ${summary}; ping -c 3 -i 0.2 -s 20000 127.0.0.1 | ${summary}; ping -c 3 -i 0.2 ::1 | ${summary}; ping -c 1 -W 1 127.0.0.1 -t 1 | grep -o 'ttl=[0-9]*'`,
    );
  });
});

describe('names', () => {
  test('getent', async (context) => {
    needsPrograms(context, 'getent');
    await expectScript('getent hosts localhost; getent ahosts localhost; getent services http; getent protocols udp');
  });

  test('the sandbox finds itself', async (context) => {
    needsPrograms(context, 'getent');
    const { stdout } = await runInside(['sh', '-c', 'getent hosts "$(hostname)"; grep -c localhost /etc/hosts']);
    expect(stdout).toMatch(/^127\.0\.0\.1 +tsvisor\n[1-9]/);
  });

  test('dig asks a server inside', async (context) => {
    needsPrograms(context, 'dig', python);
    const server = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 5392)); open("ready", "w")
q, a = s.recvfrom(512); n = q.index(b"\\\\0", 12) + 5
s.sendto(q[:2] + b"\\\\x81\\\\x80\\\\0\\\\1\\\\0\\\\1\\\\0\\\\0\\\\0\\\\0" + q[12:n] + b"\\\\xc0\\\\x0c\\\\0\\\\1\\\\0\\\\1\\\\0\\\\0\\\\0\\\\x3c\\\\0\\\\4\\\\xc0\\\\0\\\\2\\\\7", a)`;
    await expectScript(
      `${python} -c $'${server}' & while [ ! -e ready ]; do sleep 0.05; done; dig @127.0.0.1 -p 5392 +noedns +short name.example; wait`,
    );
  });
});

describe('looking', () => {
  test('ip and ss', async (context) => {
    needsPrograms(context, 'ip', 'ss', python);
    const source =
      'import socket, subprocess; l = socket.create_server(("127.0.0.1", 5393)); c = socket.create_connection(("127.0.0.1", 5393));';
    await expectScript(
      `ip -br addr show lo; ip route show table local dev lo | grep -c '^local 127'; ${python} -c '${source} subprocess.run("ss -Htn state established dport = 5393 | wc -l; ss -Htln sport = 5393 | tr -s \\" \\" | cut -d\\" \\" -f1-4", shell=True)'`,
    );
  });

  test('the way to an address', async (context) => {
    needsPrograms(context, 'ip');
    await expectScript('ip route get 127.0.0.1; ip route get 127.3.2.1; ip -6 route get ::1');
  });

  test('nmap', async (context) => {
    needsPrograms(context, 'nmap', python);
    const server = 'import socket; l = socket.create_server(("127.0.0.1", 5396)); [l.accept() for _ in iter(int, 1)]';
    // -sS: packets of its own and a capture, for which an ordinary user has no right.
    await expectScript(
      `${python} -c '${server}' & trap "kill $!" EXIT
       until ss -Htln sport = 5396 | grep -q LISTEN; do sleep 0.05; done
       for kind in -sT -sS; do nmap -n $kind -p 5396,5397 127.0.0.1 | grep -E '^[0-9]+/|^Host is up' | sed 's/ (.*//'; done`,
    );
  });

  test('tcpdump', async (context) => {
    needsPrograms(context, 'tcpdump');
    if (!isRootUnderTest) context.skip('needs root');
    const { stdout } = await runInside([
      '/bin/bash',
      '-ec',
      `tcpdump -tnq -i lo -c 2 udp dst port 5394 2>notes & watcher=$!
      until grep -q '^listening' notes; do kill -0 $watcher; sleep 0.02; done
      for port in 5395 5394 5395 5394; do echo hello >/dev/udp/127.0.0.1/$port; done
      wait $watcher; grep -E 'captured|dropped' notes`,
    ]);
    const line = /^IP 127\.0\.0\.1\.\d+ > 127\.0\.0\.1\.5394: UDP, length 6$/;
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toEqual([expect.stringMatching(line), expect.stringMatching(line), '2 packets captured', '0 packets dropped by kernel']);
  });

  test('nothing but lo inside', async (context) => {
    needsPrograms(context, 'ip', 'ss');
    const { stdout } = await runInside(['sh', '-c', 'ip -br link | cut -d" " -f1; ss -Htan | wc -l; ip route']);
    expect(stdout).toBe('lo\n0\n');
  });
});

describe('connections', () => {
  test('nc over TCP and UDP', async (context) => {
    needsPrograms(context, 'nc');
    await expectScript(`
      nc -l 127.0.0.1 5394 >out & sleep 0.5; seq 1 100000 | nc -N 127.0.0.1 5394; wait; md5sum <out
      nc -u -l -w 2 ::1 5395 >out & sleep 0.5; echo a datagram | nc -u -w 1 ::1 5395; wait; cat out
      nc -w 2 127.0.0.1 5396 </dev/null || echo refused $?`);
  });

  test('1,000 at once', async (context) => {
    needsPrograms(context, python);
    await expectScript(`ulimit -n 4096; exec ${python} -c '
import select, socket
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
clients = [socket.create_connection(listener.getsockname()) for _ in range(1000)]
servers = [listener.accept()[0] for _ in clients]
by_number = {s.fileno(): s for s in servers}
poll = select.epoll()
for s in servers: poll.register(s, select.EPOLLIN)
for i, c in enumerate(clients): c.sendall(b"%d" % i)
got = {}
while len(got) < 1000:
    for number, _ in poll.poll(5): got[by_number[number].getpeername()] = int(by_number[number].recv(100))
print(all(got[c.getsockname()] == i for i, c in enumerate(clients)))
for c in clients: c.close()
print(sum(s.recv(1) == b"" for s in servers))'`);
  });

  test('a client killed in the middle of a transfer resets the connection', async (context) => {
    needsPrograms(context, python);
    await expectScript(`exec ${python} -c '
import os, signal, socket, time
listener = socket.create_server(("127.0.0.1", 0))
client = os.fork()
if client == 0:
    c = socket.create_connection(listener.getsockname())
    while True: c.recv(1000); time.sleep(0.01)
s = listener.accept()[0]
s.settimeout(10)
signal.signal(signal.SIGALRM, lambda *_: os.kill(client, 9))
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    while True: s.sendall(b"x" * 100000)
except OSError as error: print(type(error).__name__)
print(os.waitpid(client, 0)[1])'`);
  });
});
