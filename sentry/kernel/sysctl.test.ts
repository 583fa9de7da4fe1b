/** Settings of a container's configuration. */
import { expect, test } from 'vitest';
import { EACCES } from '#sentry/abi/errno.ts';
import { IPPROTO_ICMP } from '#sentry/abi/inet.ts';
import { AF_INET, SOCK_DGRAM } from '#sentry/abi/socket.ts';
import { NO_CAPABILITIES } from '#sentry/vfs/credentials.ts';
import { DATA, KernelWorld } from '../../test/unit/kernel-world.ts';
import { setSysctl } from './sysctl.ts';

test('what can be set is set', () => {
  const world = new KernelWorld();
  const init = world.process();
  const { settings } = world.kernel.network;
  for (const [name, value] of [
    ['net.ipv4.ip_unprivileged_port_start', '0'],
    ['net.ipv4.ip_local_port_range', '2000 3000'],
    ['net.ipv4.ping_group_range', '7 7'],
    ['net.core.somaxconn', '65535'],
    ['net.ipv4.tcp_keepalive_time', '600'],
    ['kernel.domainname', 'example.org'],
    ['kernel.shmmni', '100'],
  ] as const)
    expect(setSysctl(init, name, value)).toBe(null);
  expect(settings).toMatchObject({
    unprivilegedPortFirst: 0,
    localPortFirst: 2000,
    localPortLast: 3000,
    backlogMax: 65_535,
    keepIdleMs: 600_000,
  });
  expect(world.container.uts.domainname).toBe('example.org');
});

test('what cannot is refused with the reason', () => {
  const world = new KernelWorld();
  const init = world.process();
  expect(setSysctl(init, 'net.ipv4.no_such_thing', '1')).toBe('is not a setting of this kernel');
  expect(setSysctl(init, 'net.ipv4', '1')).toBe('is not a setting of this kernel');
  expect(setSysctl(init, 'net.ipv4.ip_forward', '1')).toBe('cannot be changed: it is "0"');
  expect(setSysctl(init, 'net.ipv4.ip_forward', '0')).toBe(null);
  expect(setSysctl(init, 'net.ipv4.tcp_rmem', '4096 131072  6291456')).toBe(null);
  for (const range of ['3000 2000', '0 70000', '100 200', '1 2 3', 'many', '-1 5'])
    expect(setSysctl(init, 'net.ipv4.ip_local_port_range', range)).toBe(`cannot be "${range}"`);
});

test('what was set holds', () => {
  const world = new KernelWorld();
  const init = world.process();
  const user = world.process(init, 1000);
  const address = (port: number): number[] => [AF_INET | ((((port & 0xff) << 8) | (port >> 8)) * 0x1_0000), 0];
  const bind = (port: number): unknown => {
    world.poke(user, DATA, address(port));
    return world.call(user, 'bind', Number(world.call(user, 'socket', AF_INET, SOCK_DGRAM, 0)), DATA, 16);
  };
  expect(bind(80)).toBe(-EACCES);
  setSysctl(init, 'net.ipv4.ip_unprivileged_port_start', '80');
  expect(bind(80)).toBe(0);
  expect(bind(79)).toBe(-EACCES);
  expect(world.call(user, 'socket', AF_INET, SOCK_DGRAM, IPPROTO_ICMP)).toBeGreaterThanOrEqual(0);
  setSysctl(init, 'net.ipv4.ping_group_range', '0 999');
  expect(world.call(user, 'socket', AF_INET, SOCK_DGRAM, IPPROTO_ICMP)).toBe(-EACCES);
  setSysctl(init, 'net.ipv4.ip_local_port_range', '2000 2000');
  expect(bind(0)).toBe(0);
  expect(bind(0)).not.toBe(0);
  expect(user.credentials.effective).toEqual(NO_CAPABILITIES);
});
