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
import { insideCommand, runNative } from '../harness/run.ts';

const id = process.pid % 10_000;
const namespace = `tsv${id}`;
const [outer, inner] = [`tsva${id}`, `tsvb${id}`];
const subnet = `10.${100 + (id % 100)}.${Math.floor(id / 100)}`;

const ip = (...args: readonly string[]) => spawnSync('ip', args).status === 0;
const inNamespace = (...args: readonly string[]) => ip('netns', 'exec', namespace, 'ip', ...args);

/** Not when the tests are repeated as an ordinary user. */
const isRoot = process.getuid?.() === 0 && process.env.TSVISOR_TEST_UID === undefined;
const isPossible = isRoot && ip('netns', 'add', namespace) && ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner);

beforeAll(() => {
  if (!isPossible) return;
  ip('link', 'set', inner, 'netns', namespace);
  ip('addr', 'add', `${subnet}.1/24`, 'dev', outer);
  ip('link', 'set', outer, 'up');
  inNamespace('link', 'set', inner, 'up');
});

afterAll(() => {
  ip('link', 'del', outer);
  ip('netns', 'del', namespace);
});

/** Addresses are taken away by each run. */
function runInNamespace(script: string, args: readonly string[] = []) {
  inNamespace('addr', 'add', `${subnet}.2/24`, 'dev', inner);
  inNamespace('route', 'add', 'default', 'via', `${subnet}.1`);
  const command = insideCommand(['python3', '-c', `import socket, hashlib\n${script}`], ['--net=sandbox', ...args]);
  return runNative(['ip', 'netns', 'exec', namespace, ...command], { timeoutMs: 60_000 });
}

async function listen(server: Server): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => server.listen(0, `${subnet}.1`, done));
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
s = socket.create_connection(('${subnet}.1', ${port}), 20)
print(s.getsockname()[0])
t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
t.start()
back = b''.join(iter(lambda: s.recv(1 << 20), b''))
print(back == data)
try: socket.create_connection(('${subnet}.1', 9), 10)
except OSError as e: print(type(e).__name__)`);
    close();
    expect(outcome.stderr).toBe('');
    expect(outcome.stdout).toBe(`${subnet}.2\nTrue\nConnectionRefusedError\n`);
  });

  test('a capture holds what crossed', async () => {
    const { port, close } = await listen(createServer((socket) => socket.end('a word to find')));
    await inScratch(async (directory) => {
      const file = join(directory, 'pcap');
      const outcome = await runInNamespace(`print(socket.create_connection(('${subnet}.1', ${port}), 20).recv(100))`, ['--pcap', file]);
      expect(outcome.stdout).toBe("b'a word to find'\n");
      const capture = readFileSync(file);
      expect(capture.readUInt32LE(0)).toBe(0xa1b2_3c4d);
      expect(capture.includes('a word to find')).toBe(true);
    });
    close();
  });
});

test.skipIf(!isPossible)('is refused where it would take the connection of the host', async () => {
  const outcome = await runNative(insideCommand(['true'], ['--net=sandbox']));
  expect(outcome.status).toBe(125);
  expect(outcome.stderr).toContain('start tsvisor in one of its own');
});
