/**
 * Clients and servers, one inside and one on the host, in both directions and over each way out: what a client prints must not depend on where it runs.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inBackground } from '../harness/background.ts';
import { needsPrograms } from '../harness/needs-programs.ts';
import { hostNetwork, userNetwork, VethNetwork } from '../harness/outside-networks.ts';
import { runNative } from '../harness/run.ts';

const python = '/usr/bin/python3';
const BIG = 100_000_000;
const HTTP_PORT = 18_391;
const IPERF_PORT = 18_392;
/** Vitest runs a file once for each platform, perhaps at the same time: on the host's loopback they must not meet. */
const offset = process.env.TSVISOR_TEST_PLATFORM === 'ptrace' ? 100 : 0;

let directory = '';
let bigHash = '';
beforeAll(() => {
  directory = mkdtempSync('/var/tmp/tsvisor-test-');
  chmodSync(directory, 0o777);
  const hash = createHash('sha256');
  const file = openSync(join(directory, 'big'), 'w');
  for (let written = 0, i = 0; written < BIG; i++) {
    const part = createHash('shake256', { outputLength: 1_000_000 }).update(`${i}`).digest();
    hash.update(part);
    written += writeSync(file, part);
  }
  closeSync(file);
  bigHash = hash.digest('hex');
  writeFileSync(join(directory, 'small'), 'hello\n');
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A web server in the foreground that says `ready`. */
function webServer(address: string, port: number): string[] {
  const script = `
    ulimit -n 4096; work=$(mktemp -d); cd $work; chmod 777 .
    cat >nginx.conf <<END
    worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit;
    events { worker_connections 2048; }
    http { access_log off; sendfile on; keepalive_timeout 100; keepalive_requests 100000;
      client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
      server { listen ${address}:${port} backlog=2048; root ${directory}; } }
END
    nginx -e stderr -p $PWD -c nginx.conf & server=$!
    until curl -s -o /dev/null http://${address === '0.0.0.0' ? '127.0.0.1' : address}:${port}/small; do sleep 0.05; done
    echo ready; wait $server`;
  return ['/bin/bash', '-ec', script];
}

const manyConnections = `
import socket, sys
address = (sys.argv[1], int(sys.argv[2]))
request = b'GET /small HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
def answered(s):
    text = b''
    while not text.endswith(b'hello\\n'):
        part = s.recv(4000)
        if not part: return False
        text += part
    return True
open_ = [socket.create_connection(address, 60) for i in range(1000)]
for round in range(2):
    for s in open_: s.sendall(request)
    print(sum(map(answered, open_)))`;

/** What a client does with that server. */
function webClient(address: string, port: number): string[] {
  const url = `http://${address}:${port}`;
  const script = `
    ulimit -n 4096
    curl -s ${url}/big | sha256sum
    curl -s -o /dev/null --limit-rate 1M ${url}/big & client=$!
    sleep 0.7; kill -9 $client; wait $client || echo killed $?
    ${python} -c "${manyConnections}" ${address} ${port}
    curl -s -w '%{http_code}\\n' ${url}/small`;
  return ['/bin/bash', '-ec', script];
}

const webAnswer = () => `${bigHash}  -\nkilled 137\n1000\n1000\nhello\n200\n`;

function measuringServer(address: string, port: number): string[] {
  return ['/bin/bash', '-ec', `echo ready; for i in 1 2; do iperf3 -s -1 -B ${address} -p ${port} >/dev/null; done`];
}

/** Again until the server is there. What is still on its way when the client has sent 60 MB does not count as received. */
function measuringClient(address: string, port: number): string[] {
  const received = `${python} -c "import json, sys; print(json.load(sys.stdin)['end']['sum_received']['bytes'] > 20_000_000)" 2>/dev/null`;
  const round = (option: string) => `
    for i in $(seq 100); do iperf3 -J -c ${address} -p ${port} -n 60M ${option} | ${received} && break; sleep 0.1; done`;
  return ['/bin/bash', '-c', round('') + round('-R')];
}

const WAYS = [
  { name: '--net=sandbox over a veth', network: new VethNetwork() },
  { name: '--net=user', network: userNetwork },
  { name: '--net=host', network: hostNetwork },
] as const;

describe.for(WAYS)('$name', ({ network }) => {
  beforeAll(() => network.isPossible && network.open());
  afterAll(() => network.close());
  const options = { timeoutMs: 90_000 };

  test('a web server inside: 100 MB, a client killed on the way, 1,000 connections', async (context) => {
    if (!network.isPossible) context.skip('needs root');
    needsPrograms(context, 'nginx', 'curl', python);
    const port = HTTP_PORT + offset;
    await using server = await inBackground(network.command(webServer('0.0.0.0', port), { serves: [port] }), { ready: 'ready\n' });
    const outcome = await runNative(webClient(network.guest, port), options);
    expect(outcome.stdout, server.output + outcome.stderr).toBe(webAnswer());
  });

  test('a web client inside: the same', async (context) => {
    if (!network.isPossible) context.skip('needs root');
    needsPrograms(context, 'nginx', 'curl', python);
    const port = HTTP_PORT + offset + 1;
    await using server = await inBackground(webServer(network.listenAt, port), { ready: 'ready\n' });
    const outcome = await runNative(network.command(webClient(network.outside, port), { calls: [port] }), options);
    expect(outcome.stdout, server.output + outcome.stderr).toBe(webAnswer());
  });

  test('iperf3 in both directions, its server inside', async (context) => {
    if (!network.isPossible) context.skip('needs root');
    needsPrograms(context, 'iperf3', python);
    const port = IPERF_PORT + offset;
    await using server = await inBackground(network.command(measuringServer('0.0.0.0', port), { serves: [port] }), { ready: 'ready\n' });
    const outcome = await runNative(measuringClient(network.guest, port), options);
    expect(outcome.stdout, server.output + outcome.stderr).toBe('True\nTrue\n');
  });

  test('iperf3 in both directions, its client inside', async (context) => {
    if (!network.isPossible) context.skip('needs root');
    needsPrograms(context, 'iperf3', python);
    const port = IPERF_PORT + offset + 1;
    await using server = await inBackground(measuringServer(network.listenAt, port), { ready: 'ready\n' });
    const outcome = await runNative(network.command(measuringClient(network.outside, port), { calls: [port] }), options);
    expect(outcome.stdout, server.output + outcome.stderr).toBe('True\nTrue\n');
  });
});
