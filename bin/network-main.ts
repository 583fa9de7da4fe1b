/**
 * The network helper process: `node network-main.ts`, with the socket to the sentry as descriptor 3. The first message on it is the JSON of a
 * NetworkConfig, perhaps with a descriptor for the denial report. For `--net=user` it reads the host's resolver configuration, opens the published ports,
 * confines itself, serves until the sentry is gone; for `--net=host` it confines itself and serves. It writes nothing but the report: what is wrong
 * goes into its hello.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { parseNetworkConfig } from '#gofer/network/config.ts';
import type { ParsedConfig } from '#gofer/network/config.ts';
import { Forwarder } from '#gofer/network/dns/forwarder.ts';
import { parseHosts, parseResolvers } from '#gofer/network/dns/host-configuration.ts';
import { Resolver } from '#gofer/network/dns/resolver.ts';
import { HostSocketServer } from '#gofer/network/host-server.ts';
import { EventLoop } from '#gofer/network/event-loop.ts';
import { NameBindings } from '#gofer/network/policy/bindings.ts';
import { Policy } from '#gofer/network/policy/policy.ts';
import { withOwnAddresses } from '#gofer/network/policy/special-addresses.ts';
import { openPublished, PublishedListener } from '#gofer/network/published.ts';
import { DenialReport } from '#gofer/network/report.ts';
import { NetworkServer } from '#gofer/network/server.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { receiveMessage } from '#platform/host/messages.ts';
import { exitNow } from '#platform/host/setup-calls.ts';
import { confineHostNetwork, confineNetwork, isolateNetwork } from './confine/network.ts';

const SOCKET = 3;
const FOR_EVER = -1;
const NOTHING: Prepared = { config: { serves: 'flows', allow: [], deny: [], published: [], hasReport: false }, listeners: [] };
/** What one message of a socket pair can hold by default. */
const CONFIG_MAX = 192 * 1024;

/** The configuration's text and the descriptors that came with it. There is none when the sentry ended before it came to that. */
function receiveConfig(): { text: string; report: number } {
  const memory = allocateMemory(CONFIG_MAX);
  const descriptors = new Int32Array(1);
  const { length, descriptors: count } = receiveMessage(SOCKET, memory, 0, CONFIG_MAX, descriptors, FOR_EVER);
  if (length <= 0) exitNow(0);
  return { text: Buffer.from(memory.bytes.subarray(0, length)).toString(), report: count > 0 ? descriptors[0]! : -1 };
}

interface Prepared {
  readonly config: ParsedConfig;
  readonly listeners: readonly number[];
}

/** What has to be opened before the confinement is complete; a sentence: why it cannot be. */
function prepare(text: string): Prepared | string {
  const config = parseNetworkConfig(text);
  if (typeof config === 'string') return config;
  const listeners = openPublished(config.published);
  if (Array.isArray(listeners)) return { config, listeners };
  const { port, errno } = listeners;
  return `cannot listen on ${port.address} port ${port.port} (${errnoName(errno)})`;
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function main(): void {
  const { text, report } = receiveConfig();
  const config = parseNetworkConfig(text);
  if (typeof config !== 'string' && config.serves === 'sockets') serveSockets();
  else serveFlows(text, report);
  exitNow(0);
}

function serveSockets(): void {
  const confinement = isolateNetwork();
  const server = new HostSocketServer(SOCKET);
  confineHostNetwork(confinement);
  server.sayHello(confinement.lines());
  while (server.isOpen) server.serveOne();
}

function serveFlows(text: string, reportFd: number): void {
  const resolvers = parseResolvers(readOr('/etc/resolv.conf'));
  const hosts = parseHosts(readOr('/etc/hosts'));
  const special = withOwnAddresses(ownAddresses());
  const confinement = isolateNetwork();
  const prepared = prepare(text);
  const { config, listeners, problem } = typeof prepared === 'string' ? { ...NOTHING, problem: prepared } : { ...prepared, problem: '' };
  const loop = new EventLoop();
  const policy = new Policy(config.allow, config.deny, special);
  const bindings = new NameBindings();
  const report = new DenialReport(config.hasReport ? reportFd : -1);
  const resolver = new Resolver({
    policy,
    bindings,
    hosts,
    forwarder: new Forwarder({ loop, resolvers, randomId }),
    now: () => loop.now,
    onDenied: (name, verdict, asker) => report.add({ what: 'dns', name, asker }, verdict),
  });
  const server = new NetworkServer({ loop, socket: SOCKET, policy, bindings, resolver, report });
  listeners.forEach((fd, index) => new PublishedListener(loop, server, fd, index, config.published[index]!));
  randomId(); // loads what it needs while that can be loaded
  confineNetwork(confinement);
  server.sayHello(confinement.lines(), problem);
  if (problem !== '') exitNow(1);
  while (server.isOpen) loop.step();
}

/** Those of all interfaces, without the zones of link-local ones. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address.replace(/%.*/, '')));
}

function randomId(): number {
  return crypto.getRandomValues(new Uint16Array(1))[0]!;
}

main();
