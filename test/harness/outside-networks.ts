/**
 * The ways in which a sandbox is joined to a network outside, each with an outside made by the test: `sandbox`, a veth pair whose one end lies in a
 * namespace of its own (needs root), `user`, the host's loopback interface through the gateway, and `host`, that interface itself.
 *
 *     const network = vethNetwork();  network.open();
 *     insideCommand(…) → network.command(['curl', …], { calls: [80] });    // servers outside listen at network.listenAt, the guest calls network.outside
 *     network.close();
 */
import { spawnSync } from 'node:child_process';
import { insideCommand, isRootUnderTest } from './run.ts';

/** Ports that the program inside listens on, and ports outside that it calls. */
export interface Ports {
  readonly serves?: readonly number[];
  readonly calls?: readonly number[];
}

export interface OutsideNetwork {
  readonly mode: 'sandbox' | 'user' | 'host';
  /** Address that servers outside listen on. */
  readonly listenAt: string;
  /** The same address as seen from inside. */
  readonly outside: string;
  /** Address at which those outside reach a server inside. */
  readonly guest: string;
  readonly isPossible: boolean;
  open(): void;
  close(): void;
  /** The argument vector that runs `command` inside with this network. */
  command(command: readonly string[], ports?: Ports, args?: readonly string[]): string[];
}

const ip = (...args: readonly string[]) => spawnSync('ip', args).status === 0;

export class VethNetwork implements OutsideNetwork {
  readonly mode = 'sandbox';
  readonly listenAt: string;
  readonly outside: string;
  readonly guest: string;
  readonly isPossible: boolean;
  readonly namespace: string;
  readonly outerDevice: string;
  readonly innerDevice: string;
  /** Where the outer end lies; null: in the host's own namespace. */
  readonly peerNamespace: string | null;

  /** Names and addresses differ between test files that run at once. `apart`: nothing that is sent reaches the host either. */
  constructor({ apart = false } = {}) {
    const id = process.pid % 10_000;
    this.namespace = `tsv${id}`;
    [this.outerDevice, this.innerDevice] = [`tsva${id}`, `tsvb${id}`];
    const subnet = `10.${100 + (id % 100)}.${Math.floor(id / 100)}`;
    [this.outside, this.listenAt, this.guest] = [`${subnet}.1`, `${subnet}.1`, `${subnet}.2`];
    this.peerNamespace = apart ? `tsvp${id}` : null;
    this.isPossible = isRootUnderTest && ip('netns', 'add', this.namespace) && ip('netns', 'del', this.namespace);
  }

  open(): void {
    const inside = (...args: readonly string[]) => ip('-n', this.namespace, ...args);
    const outside = (...args: readonly string[]) => ip(...(this.peerNamespace === null ? [] : ['-n', this.peerNamespace]), ...args);
    ip('netns', 'add', this.namespace);
    if (this.peerNamespace !== null) ip('netns', 'add', this.peerNamespace);
    outside('link', 'add', this.outerDevice, 'type', 'veth', 'peer', 'name', this.innerDevice, 'netns', this.namespace);
    outside('addr', 'add', `${this.outside}/24`, 'dev', this.outerDevice);
    outside('link', 'set', this.outerDevice, 'up');
    inside('addr', 'add', `${this.guest}/24`, 'dev', this.innerDevice);
    inside('link', 'set', this.innerDevice, 'up');
    inside('route', 'add', 'default', 'via', this.outside);
  }

  close(): void {
    if (this.peerNamespace === null) ip('link', 'del', this.outerDevice);
    else ip('netns', 'del', this.peerNamespace);
    ip('netns', 'del', this.namespace);
  }

  /** The argument vector that runs `command` where the outer end lies. */
  outsideCommand(command: readonly string[]): string[] {
    return this.peerNamespace === null ? [...command] : ['ip', 'netns', 'exec', this.peerNamespace, ...command];
  }

  command(command: readonly string[], _?: Ports, args: readonly string[] = []): string[] {
    return ['ip', 'netns', 'exec', this.namespace, ...insideCommand(command, ['--net=sandbox', ...args])];
  }
}

export const userNetwork: OutsideNetwork = {
  mode: 'user',
  listenAt: '127.0.0.1',
  outside: '10.0.2.2',
  guest: '127.0.0.1',
  isPossible: true,
  open: () => undefined,
  close: () => undefined,
  command(command, { serves = [], calls = [] } = {}, args = []) {
    const allowed = calls.flatMap((port) => ['--net-allow', `127.0.0.1:${port}`]);
    const published = serves.flatMap((port) => ['--publish', `${port}:${port}`]);
    return insideCommand(command, ['--net=user', ...allowed, ...published, ...args]);
  },
};

export const hostNetwork: OutsideNetwork = {
  mode: 'host',
  listenAt: '127.0.0.1',
  outside: '127.0.0.1',
  guest: '127.0.0.1',
  isPossible: true,
  open: () => undefined,
  close: () => undefined,
  command: (command, _, args = []) => insideCommand(command, ['--net=host', ...args]),
};
