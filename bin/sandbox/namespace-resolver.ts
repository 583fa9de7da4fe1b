/**
 * The name server that a manager keeps in a container's network namespace, on its loopback interface: Docker does, at 127.0.0.11, for networks that users
 * made, and directs port 53 of that address to where it listens. The sandbox's stack has a loopback interface of its own; a socket carries questions there
 * (sentry/netstack/udp/resolver-relay.ts).
 *
 *     const resolver = openNamespaceResolver();       // in the namespace; -1: nobody is there
 *     connectResolver(kernel, resolver);              // any time later, also in a confined sentry
 */
import { readFileSync } from 'node:fs';
import { AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from '#sentry/abi/socket.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { DNS_PORT, RESOLVER_ADDRESS, ResolverRelay } from '#sentry/netstack/udp/resolver-relay.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { close } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import * as sockets from '#platform/host/sockets.ts';

/** 127.0.0.11 as /proc/net/udp writes it. */
const LISTENER = /^ *\d+: 0B00007F:/m;
const SOCKADDR_IN_SIZE = 16;
const EPOLLIN = 1;

/** Whether somebody listens at that address in the namespace this thread is in. */
function hasNamespaceResolver(): boolean {
  try {
    return LISTENER.test(readFileSync('/proc/thread-self/net/udp', 'latin1'));
  } catch {
    return false;
  }
}

/** A socket connected to the server of the namespace this thread is in; -1: there is none. */
export function openNamespaceResolver(): HostFd {
  if (!hasNamespaceResolver()) return -1;
  const fd = sockets.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const memory = allocateMemory(SOCKADDR_IN_SIZE);
  memory.view.setUint16(0, AF_INET, true);
  memory.view.setUint16(2, DNS_PORT);
  memory.view.setInt32(4, RESOLVER_ADDRESS);
  if (sockets.connect(fd, memory.address, SOCKADDR_IN_SIZE) >= 0) return fd;
  close(fd);
  return -1;
}

/** Guests find the server at its address. */
export function connectResolver(kernel: Kernel, fd: HostFd): void {
  const { host, network } = kernel;
  const relay = new ResolverRelay(network.stack, host, fd);
  relay.start();
  kernel.watch(fd, EPOLLIN, () => {
    network.enter();
    relay.receive();
  });
}
