/**
 * A hostile neighbour on the link of a sandbox (peer.py), in namespaces of the test's own: whatever it sends, the memory of the sandbox stays within its bounds,
 * a connection of somebody else goes on byte by byte, and new ones come into being. Needs root.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PACKET_BYTES_MAX, FRAGMENT_BYTES_MAX } from '#sentry/netstack/limits.ts';
import { inBackground } from '../harness/background.ts';
import type { Background } from '../harness/background.ts';
import { VethNetwork } from '../harness/outside-networks.ts';
import { processTree, procFile } from '../harness/process-tree.ts';
import { repository, runNative } from '../harness/run.ts';

const python = '/usr/bin/python3';
const script = (name: string) => join(repository, 'test/hostile', name);
const network = new VethNetwork({ apart: true });
const own = network.guest.replace(/\d+$/, '66');
/** Frames a second that leave time for others on a small machine, and as many as there can be. */
const [STEADY, FLOOD] = ['10000', '1000000000'];
/** What the sentry may grow by: every packet of its pool, and its tables and the heap's slack. */
const GROWTH_MAX = PACKET_BYTES_MAX + (128 << 20);

/** Resident bytes of the largest process of the sandbox: the sentry. */
function residentBytes(pid: number): number {
  return Math.max(...processTree(pid).map((member) => Number(/VmRSS:\s+(\d+)/.exec(procFile(member, 'status'))?.[1] ?? 0))) * 1024;
}

async function outside(command: readonly string[]): Promise<string> {
  const outcome = await runNative(network.outsideCommand(command), { timeoutMs: 60_000 });
  expect(outcome.status, outcome.stdout + outcome.stderr).toBe(0);
  return outcome.stdout;
}

/** Longer than an honest client is given. */
const ATTACK_SECONDS = 40;
const FLOOD_SECONDS = 2.5;
const attack = (name: string, rate: string, seconds: number): string[] => {
  const where = [network.outerDevice, network.guest, own];
  return [python, script('peer.py'), ...where, String(seconds), rate, name];
};

/** What an honest client has to get done, in its own time: how fast is the machine's affair. */
const GOAL = { seconds: 30, bytes: 600_000, connections: 4 };
const honestClient = () =>
  outside([python, script('under-attack.py'), 'client', network.guest, ...[GOAL.seconds, GOAL.bytes, GOAL.connections].map(String)]);
const tell = () => outside(['/bin/bash', '-c', `exec 3<>/dev/tcp/${network.guest}/81; cat <&3`]);

function expectGoal(text: string): void {
  const [, bytes, made] = /exact (\d+) longest [\d.]+ made (\d+)/.exec(text)!;
  expect(Number(bytes), text).toBeGreaterThanOrEqual(GOAL.bytes);
  expect(Number(made), text).toBeGreaterThanOrEqual(GOAL.connections);
}

const ATTACKS = ['syn_flood', 'fragments', 'zero_window', 'wrong_acknowledgements', 'out_of_order', 'options', 'control'];

describe.skipIf(!network.isPossible || !existsSync(python))('a hostile peer', () => {
  let server: Background;
  let before = 0;
  beforeAll(async () => {
    network.open();
    const serve = `ulimit -n 10000; exec ${python} ${script('under-attack.py')} server`;
    server = await inBackground(network.command(['/bin/bash', '-c', serve]), { ready: 'ready\n' });
    before = residentBytes(server.pid);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    network.close();
  });

  async function expectBounded(): Promise<void> {
    expect(residentBytes(server.pid) - before).toBeLessThan(GROWTH_MAX);
    const held = await tell();
    expect(Number(/TCP: .* mem (\d+)/.exec(held)![1]) * 4096, held).toBeLessThanOrEqual(PACKET_BYTES_MAX);
    for (const [, bytes] of held.matchAll(/FRAG6?: inuse \d+ memory (\d+)/g)) expect(Number(bytes)).toBeLessThanOrEqual(FRAGMENT_BYTES_MAX);
  }

  test.for(ATTACKS)('%s', async (name) => {
    await using attacker = await inBackground(network.outsideCommand(attack(name, STEADY, ATTACK_SECONDS)), { ready: 'attacking\n' });
    expectGoal(await honestClient());
    process.kill(attacker.pid, 'SIGTERM');
    await attacker.said('sent ');
    await expectBounded();
  });

  test('all at once, as fast as it can: others get their turn again', async () => {
    const floods = ATTACKS.map((name) => outside(attack(name, FLOOD, FLOOD_SECONDS)));
    await expect(Promise.all(floods)).resolves.toHaveLength(ATTACKS.length);
    await expectBounded();
    expectGoal(await honestClient());
  });
});
