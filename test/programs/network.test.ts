/**
 * Programs that talk to each other over the loopback interface: python's http server with its client and curl, asyncio, node, redis with its own
 * client, and what `ip` and `ss` show.
 */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectSame, inScratch } from '../harness/expect-same.ts';
import { runInside } from '../harness/run.ts';

const python = '/usr/bin/python3';
const options = { timeoutMs: 60_000 };
const expectPython = (source: string) => expectSame([python, '-c', source], options);
const expectShell = (script: string) => expectSame(['/bin/sh', '-c', script], options);

describe.runIf(existsSync(python))('python3', () => {
  test('http.server and urllib, with large bodies and connections that stay', async () => {
    await expectPython(`
import http.server, http.client, threading, urllib.request, urllib.error
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, body):
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        if self.path == '/missing': self.send_error(404)
        else: self.answer(b'x' * int(self.path[1:]))
    def do_POST(self): self.answer(str(len(self.rfile.read(int(self.headers['Content-Length'])))).encode())
    def log_message(self, *arguments): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = 'http://localhost:%d/' % server.server_address[1]
for size in [0, 1, 1000, 100000, 5000000]: print(len(urllib.request.urlopen(url + str(size)).read()))
print(urllib.request.urlopen(url, data=b'y' * 3000000).read())
try: urllib.request.urlopen(url + 'missing')
except urllib.error.HTTPError as e: print(e.code)
kept = http.client.HTTPConnection('127.0.0.1', server.server_address[1])
for i in range(100):
    kept.request('GET', '/%d' % i); print(len(kept.getresponse().read()), end=' ')
server.shutdown()`);
  });

  test('asyncio with two hundred connections at once', async () => {
    await expectPython(`
import asyncio
async def serve(reader, writer):
    while line := await reader.readline(): writer.write(line.upper()); await writer.drain()
    writer.close()
async def talk(port, i):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    for j in range(10):
        writer.write(b'%d hello %d\\n' % (i, j)); assert await reader.readline() == b'%d HELLO %d\\n' % (i, j)
    writer.close(); await writer.wait_closed()
    return i
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    print(sum(await asyncio.gather(*(talk(port, i) for i in range(200)))))
asyncio.run(main())`);
  });

  test('datagrams, names and timeouts', async () => {
    await expectPython(`
import socket, select
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.settimeout(0.1)
for i in range(100): b.sendto(b'%d' % i, a.getsockname())
print([int(a.recv(10)) for i in range(100)] == list(range(100)))
try: b.recv(1)
except TimeoutError as e: print(e)
print(socket.getaddrinfo('127.0.0.1', 80, type=socket.SOCK_STREAM), socket.if_indextoname(1))
s6 = socket.create_server(('', 0), family=socket.AF_INET6, dualstack_ipv6=True)
c = socket.create_connection(('127.0.0.1', s6.getsockname()[1])); d, peer = s6.accept(); print(peer[0])
c.send(b'hi'); print(d.recv(10))
try: socket.create_connection(('127.0.0.1', 1), 1)
except OSError as e: print(e.errno)`);
  });
});

describe.runIf(existsSync('/usr/bin/curl') && existsSync(python))('curl', () => {
  test('fetches files of an http server', async () => {
    await expectShell(`
      mkdir w; echo contents > w/small; head -c 10000000 /dev/zero > w/big
      ${python} -m http.server 18010 --bind 127.0.0.1 --directory w >/dev/null 2>&1 & server=$!
      until curl -s http://localhost:18010/small; do sleep 0.05; done
      curl -s http://127.0.0.1:18010/big | md5sum
      curl -s -r 5-9 -o /dev/null -w '%{http_code} %{size_download}\\n' http://127.0.0.1:18010/missing
      kill $server; wait $server
      curl -s http://127.0.0.1:18010/small; echo status $?`);
  });
});

describe.runIf(existsSync('/usr/bin/redis-server'))('redis', () => {
  test('server, client and benchmark', async () => {
    await expectShell(`
      redis-server --port 17001 --save '' --daemonize yes --dir . >/dev/null
      until redis-cli -p 17001 ping 2>/dev/null | grep PONG; do sleep 0.05; done
      redis-cli -p 17001 set key value; redis-cli -p 17001 get key
      seq 1 2000 | sed 's/.*/INCRBY total &/' | redis-cli -p 17001 --pipe | tail -1; redis-cli -p 17001 get total
      redis-benchmark -p 17001 -n 2000 -c 20 -q -t set,get,lpush >/dev/null; redis-cli -p 17001 dbsize
      redis-cli -p 17001 shutdown nosave; redis-cli -p 17001 ping 2>&1 | grep -c refused`);
  });
});

test('node serves and fetches over connections that stay', async () => {
  await expectSame(
    [
      process.execPath,
      '-e',
      `const http = require('http');
      const server = http.createServer((request, response) => { let n = 0; request.on('data', (d) => (n += d.length)); request.on('end', () => response.end('got ' + n)); });
      server.listen(0, '127.0.0.1', () => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
        let left = 40;
        for (let i = 0; i < 40; i++) {
          const request = http.request({ port: server.address().port, host: '127.0.0.1', method: 'POST', agent }, (response) => {
            response.on('data', (text) => { if (String(text) !== 'got ' + i * 10000) console.log('wrong', String(text)); });
            response.on('end', () => { if (--left === 0) { console.log('done'); agent.destroy(); server.close(); } });
          });
          request.end('z'.repeat(i * 10000));
        }
      });`,
    ],
    options,
  );
});

describe.runIf(existsSync('/usr/sbin/ip') && existsSync('/usr/bin/ss') && existsSync(python))('ip and ss', () => {
  test('show the loopback interface and who listens on it', async () => {
    await inScratch(async (cwd) => {
      const script = `ip -o addr; ip route show table local; ip route get 127.0.0.9; ip rule
        ${python} -c 'import socket, subprocess; s = socket.create_server(("127.0.0.1", 5555)); subprocess.run(["ss", "-tlnH"])'`;
      const { stdout, status } = await runInside(['/bin/sh', '-c', script], { cwd, ...options });
      expect(status).toBe(0);
      expect(stdout).toContain('inet 127.0.0.1/8 scope host lo');
      expect(stdout).toContain('inet6 ::1/128 scope host');
      expect(stdout).toContain('local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1');
      expect(stdout).toMatch(/LISTEN +0 +\d+ +127\.0\.0\.1:5555 +0\.0\.0\.0:\*/);
    });
  });
});
