/**
 * Namespaces of containers on the host this runs on: joined, made, left and entered again, and what is taken over in them. Needs root. What the stack then does
 * over such an interface is in test/programs.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemCall } from '#platform/host/setup-calls.ts';
import { isInHostNamespace, takeNetwork } from './network-device.ts';
import { enterNetworkNamespace, openContainerNetwork, outsideNetworkNamespace, takeNetworkOf } from './network-namespace.ts';

const id = process.pid % 10_000;
const name = `tsvn${id}`;
const [outer, inner] = [`tsvc${id}`, `tsvd${id}`];
const path = `/run/netns/${name}`;
const subnet = `10.${100 + (id % 100)}.${Math.floor(id / 100)}`;
const SYS_SETNS = 308;

const ip = (...args: readonly string[]) => spawnSync('ip', args, { encoding: 'utf8' });
const inside = (...args: readonly string[]) => ip('-n', name, ...args);
const own = () => readlinkSync('/proc/thread-self/ns/net');

const isPossible = process.getuid?.() === 0 && ip('netns', 'add', name).status === 0;

describe.skipIf(!isPossible)('a network namespace', () => {
  let before = -1;
  beforeAll(() => {
    ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner);
    ip('link', 'set', inner, 'netns', name);
    ip('addr', 'add', `${subnet}.1/24`, 'dev', outer);
    ip('link', 'set', outer, 'up');
    for (const address of [`${subnet}.2/24`, 'fd77::2/64']) inside('addr', 'add', address, 'dev', inner, 'nodad');
    inside('link', 'set', inner, 'up');
    inside('link', 'add', 'second', 'type', 'veth', 'peer', 'name', 'down');
    inside('link', 'set', 'second', 'up');
    inside('route', 'add', '169.254.1.1', 'dev', inner, 'scope', 'link');
    inside('route', 'add', 'default', 'via', '169.254.1.1', 'dev', inner, 'onlink');
    inside('neigh', 'add', '169.254.1.1', 'lladdr', 'ee:ee:ee:ee:ee:ee', 'dev', inner, 'nud', 'permanent');
  });
  afterAll(() => {
    ip('link', 'del', outer);
    ip('netns', 'del', name);
  });
  beforeEach(() => {
    before = openSync('/proc/thread-self/ns/net', 'r');
  });
  afterEach(() => {
    systemCall(SYS_SETNS, before);
    closeSync(before);
  });

  test('is joined by path, left for a moment, and entered again', () => {
    const outside = own();
    const namespace = enterNetworkNamespace({ path });
    expect(namespace).toMatchObject({ kind: 'own', warnings: [] });
    const joined = own();
    expect(joined).not.toBe(outside);
    expect(outsideNetworkNamespace(namespace, own)).toBe(outside);
    expect(own()).toBe(joined);
  });

  test('has one sandbox at a time', () => {
    // This process has it since the test before.
    expect(() => enterNetworkNamespace({ path })).toThrow(`the network namespace ${path} is in use by another sandbox`);
  });

  test('is made, with its loopback interface up', () => {
    const outside = own();
    const namespace = enterNetworkNamespace({ path: null });
    expect(namespace.kind).toBe('own');
    expect(own()).not.toBe(outside);
    expect(ip('-br', 'addr', 'show', 'dev', 'lo').stdout).toContain('127.0.0.1/8');
    expect(openContainerNetwork(namespace, 'now')).toEqual({ mode: 'sandbox', interfaces: [], resolver: -1 });
  });

  test("that is the host's own is left alone", () => {
    const outside = own();
    for (const wish of [null, { path: '/proc/self/ns/net' }]) {
      const namespace = enterNetworkNamespace(wish);
      expect(namespace.kind).toBe('host');
      expect(namespace.warnings[0]).toContain("the host's network");
      expect(own()).toBe(outside);
    }
    expect(isInHostNamespace()).toBe(true);
  });

  test('that is none is named', () => {
    expect(() => enterNetworkNamespace({ path: '/no/such' })).toThrow('the network namespace /no/such cannot be opened (ENOENT).');
    expect(() => enterNetworkNamespace({ path: '/etc/passwd' })).toThrow('the network namespace /etc/passwd cannot be entered (EINVAL).');
  });

  test('has all its interfaces taken over, as often as needed, and the host answers on none', () => {
    expect(spawnSync('ping', ['-c1', '-W2', `${subnet}.2`]).status).toBe(0);
    const fd = openSync(path, 'r');
    systemCall(SYS_SETNS, fd);
    closeSync(fd);
    for (let round = 0; round < 2; round++) {
      const { interfaces: taken } = takeNetwork(null);
      for (const { fd } of taken) closeSync(fd);
      expect(taken.map(({ facts }) => facts.link.name)).toEqual(expect.arrayContaining([inner, 'second']));
      const { facts } = taken.find((candidate) => candidate.facts.link.name === inner)!;
      expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
      expect(facts.addresses.map(({ address }) => address)).toEqual(expect.arrayContaining([`${subnet}.2`, 'fd77::2']));
      expect(facts.routes).toEqual(expect.arrayContaining([expect.objectContaining({ gateway: '169.254.1.1', isOnLink: true })]));
      expect(facts.neighbours).toEqual([{ address: '169.254.1.1', hardwareAddress: 'î'.repeat(6) }]);
    }
    systemCall(SYS_SETNS, before);
    ip('neigh', 'flush', 'dev', outer);
    expect(spawnSync('ping', ['-c1', '-W1', `${subnet}.2`]).status).toBe(1);
    expect(inside('addr').stdout).toContain(`${subnet}.2/24`);
  });

  test('is taken over by another process, by the pid of one that lives in it', async () => {
    const child = spawn('ip', ['netns', 'exec', name, 'sleep', '20']);
    await new Promise((done) => setTimeout(done, 200));
    const outside = own();
    const taken = takeNetworkOf(child.pid!);
    for (const { fd } of taken.interfaces) closeSync(fd);
    expect(taken.interfaces).toHaveLength(2);
    expect(taken.resolver).toBe(-1);
    expect(own()).toBe(outside);
    expect(takeNetworkOf(process.ppid)).toEqual({ interfaces: [], resolver: -1 });
    child.kill('SIGKILL');
  });
});
