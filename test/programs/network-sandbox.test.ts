/**
 * `--net=sandbox`: the sandbox's stack against the host's own, over a veth pair whose one end lies in a namespace that the test made. Needs root.
 */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inScratch } from '../harness/expect-same.ts';
import { VethNetwork } from '../harness/outside-networks.ts';
import { insideCommand, runNative } from '../harness/run.ts';

const network = new VethNetwork();
const { isPossible, namespace, outside, guest } = network;
beforeAll(() => isPossible && network.open());
afterAll(() => network.close());

function runInNamespace(script: string, args: readonly string[] = []) {
  return runNative(network.command(['python3', '-c', `import socket, hashlib\n${script}`], {}, args), { timeoutMs: 60_000 });
}

async function listen(server: Server): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => server.listen(0, outside, done));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

describe.skipIf(!isPossible)('over a veth', () => {
  test('20 MB there and back, by the addresses and routes of the namespace', async () => {
    const { port, close } = await listen(createServer((socket) => socket.pipe(socket)));
    const outcome = await runInNamespace(`
import threading, os
data = os.urandom(1 << 20) * 20
s = socket.create_connection(('${outside}', ${port}), 20)
print(s.getsockname()[0])
t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
t.start()
back = b''.join(iter(lambda: s.recv(1 << 20), b''))
print(back == data)
try: socket.create_connection(('${outside}', 9), 10)
except OSError as e: print(type(e).__name__)`);
    close();
    expect(outcome.stderr).toBe('');
    expect(outcome.stdout).toBe(`${guest}\nTrue\nConnectionRefusedError\n`);
  });

  test('a capture holds what crossed', async () => {
    const { port, close } = await listen(createServer((socket) => socket.end('a word to find')));
    await inScratch(async (directory) => {
      const file = join(directory, 'pcap');
      const outcome = await runInNamespace(`print(socket.create_connection(('${outside}', ${port}), 20).recv(100))`, ['--pcap', file]);
      expect(outcome.stdout).toBe("b'a word to find'\n");
      const capture = readFileSync(file);
      expect(capture.readUInt32LE(0)).toBe(0xa1b2_3c4d);
      expect(capture.includes('a word to find')).toBe(true);
    });
    close();
  });
});

test.skipIf(!isPossible)('leaves the namespace its addresses and routes, and the host does not answer for them', () => {
  const inside = (...args: readonly string[]) => spawnSync('ip', ['-n', namespace, ...args], { encoding: 'utf8' }).stdout;
  expect(inside('addr')).toContain(`inet ${guest}/24`);
  expect(inside('route')).toContain(`default via ${outside}`);
  expect(spawnSync('ping', ['-c1', '-W1', guest]).status).toBe(1);
});

test.skipIf(!isPossible)('is refused where it would take the connection of the host', async () => {
  const outcome = await runNative(insideCommand(['true'], ['--net=sandbox']));
  expect(outcome.status).toBe(125);
  expect(outcome.stderr).toContain('start tsvisor in one of its own');
});
