/**
 * The network namespace of a container: joined by its path, made new and filled by a hook or between create and start, and the host's own. Whoever prepares
 * it (CNI, netavark, libnetwork) does what the test does here: a veth pair with addresses and routes.
 */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VethNetwork } from '../harness/outside-networks.ts';
import { newContainer, runShell } from './harness/container.ts';
import { ours } from './harness/runtime.ts';
import type { Spec } from './harness/spec.ts';

const network = new VethNetwork();
const { guest, outside, innerDevice, namespace } = network;
const path = `/run/netns/${namespace}`;

function withNetwork(spec: Spec, entry: { path?: string } | null): void {
  const others = spec.linux.namespaces.filter(({ type }) => type !== 'network');
  spec.linux.namespaces = entry === null ? others : [...others, { type: 'network', ...entry }];
}

/** Serves its own name, so that whoever fetches from it knows whom he reached. */
const serveInside = 'mkdir /dev/shm/www; echo inside >/dev/shm/www/name; httpd -p 8080 -h /dev/shm/www';

async function fetchInside(): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await (await fetch(`http://${guest}:8080/name`)).text();
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

const addressLines = "ip -o -4 addr show | sed 's/ *inet \\([0-9./]*\\).*/ \\1/'";

describe.skipIf(!network.isPossible)('network', () => {
  beforeEach(() => network.open());
  afterEach(() => network.close());

  test('joined by path: its addresses and routes, both ways, twice', async () => {
    const server = createServer((_, response) => response.end('outside'));
    await new Promise<void>((done) => server.listen(0, outside, done));
    const { port } = server.address() as AddressInfo;
    for (let round = 0; round < 2; round++) {
      await using box = await newContainer({
        shell: `${addressLines}; ip route; wget -qO- http://${outside}:${port}/; ${serveInside}; sleep 100`,
        edit: (spec) => withNetwork(spec, { path }),
      });
      await box.createAndStart();
      expect(await fetchInside()).toBe('inside\n');
      await box.kill('KILL');
      await box.until('stopped');
      const output = await box.output();
      expect(output).toContain(`${innerDevice} ${guest}/24`);
      expect(output).toContain(`default via ${outside}`);
      expect(output).toContain('outside');
      // It was given by others and is theirs.
      expect(spawnSync('ip', ['-n', namespace, 'addr'], { encoding: 'utf8' }).stdout).toContain(`${guest}/24`);
    }
    server.close();
  });

  test('joined by path, with run', async () => {
    const outcome = await runShell(addressLines, (spec) => withNetwork(spec, { path }));
    expect(outcome.stdout).toContain(`${innerDevice} ${guest}/24`);
  });

  test('made new, and filled by a createRuntime hook that finds it by the pid of the state', async () => {
    const fill = [
      'pid=$(tr -d " \\n" | sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/")',
      `ip netns exec ${namespace} ip link set ${innerDevice} netns $pid`,
      `nsenter -t $pid -n sh -c 'ip addr add ${guest}/24 dev ${innerDevice}; ip link set ${innerDevice} up; ip route add default via ${outside}'`,
    ].join(' && ');
    await using box = await newContainer({
      shell: `${serveInside}; sleep 100`,
      edit(spec) {
        withNetwork(spec, {});
        const env = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
        spec.hooks = { createRuntime: [{ path: '/bin/sh', args: ['sh', '-c', fill], env }] };
      },
    });
    await box.createAndStart();
    expect(await fetchInside()).toBe('inside\n');
  });

  test('filled between create and start', async () => {
    await using box = await newContainer({ shell: `${serveInside}; sleep 100`, edit: (spec) => withNetwork(spec, {}) });
    expect(await box.create()).toMatchObject({ status: 0 });
    const pid = `${(await box.state())!.pid}`;
    const commands = [
      `ip -n ${namespace} link set ${innerDevice} netns ${pid}`,
      ...[`addr add ${guest}/24 dev ${innerDevice}`, `link set ${innerDevice} up`].map((command) => `nsenter -t ${pid} -n ip ${command}`),
    ];
    for (const command of commands) expect(spawnSync('sh', ['-c', command]).status, command).toBe(0);
    await box.start();
    expect(await fetchInside()).toBe('inside\n');
  });

  test('made new and left empty: the loopback interface alone', async () => {
    const outcome = await runShell(`${addressLines}; ${serveInside}; wget -qO- http://127.0.0.1:8080/name`, (spec) =>
      withNetwork(spec, {}),
    );
    expect(outcome.stdout.replace('1: lo', 'lo')).toBe('lo 127.0.0.1/8\ninside\n');
  });

  test('a path that leads nowhere, or to something else', async () => {
    for (const wrong of ['/run/netns/none', '/etc/passwd']) {
      await using box = await newContainer({ edit: (spec) => withNetwork(spec, { path: wrong }) });
      const { status, stderr } = await box.create();
      expect(status).toBe(1);
      expect(stderr).toContain(ours ? `the network namespace ${wrong} cannot be` : '');
      expect(await box.state()).toBeNull();
    }
  });

  test("the host's own: connections are carried on, and what is missing is said", async () => {
    const server = createServer((_, response) => response.end('outside'));
    await new Promise<void>((done) => server.listen(0, outside, done));
    const { port } = server.address() as AddressInfo;
    const near = createServer((_, response) => response.end('loopback'));
    await new Promise<void>((done) => near.listen(0, '127.0.0.1', done));
    const loopback = near.address() as AddressInfo;
    await using box = await newContainer({
      shell: `wget -qO- http://${outside}:${port}/; wget -qO- http://${ours ? '10.0.2.2' : '127.0.0.1'}:${loopback.port}/`,
      edit: (spec) => withNetwork(spec, null),
    });
    const outcome = await box.run([], { globals: ['--log', join(box.bundle, 'log')] });
    server.close();
    near.close();
    expect(outcome.stdout).toBe('outsideloopback');
    expect(box.read('log')).toContain(ours ? "asks for the host's network" : '');
  });
});
