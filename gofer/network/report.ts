/**
 * The denial report: a line of JSON for everything the policy refused, so that a person or a program can see what was wanted and add the rule
 * that allows it. The helper writes it, because it decides; who asked is what the sentry said.
 */
import { writeSync } from 'node:fs';
import type { IpAddress } from '#sentry/netstack/address.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '#sentry/netstack/ip/header.ts';
import { DENIALS_MAX } from './limits.ts';
import type { Verdict } from './policy/policy.ts';

export interface Asker {
  /** 0: not known. */
  readonly pid: number;
  readonly command: string;
}

export interface Denial {
  /** What was refused: a flow, the name of a flow, or a question. */
  readonly what: 'tcp' | 'udp' | 'icmp' | 'name' | 'dns';
  readonly address?: IpAddress;
  readonly port?: number;
  /** Names bound to the address. */
  readonly names?: readonly string[];
  /** The name asked for or claimed. */
  readonly name?: string;
  readonly asker: Asker;
}

export class DenialReport {
  private readonly fd: number;
  private readonly wallClock: () => Date;
  private lines = 0;

  /** `fd`: opened for appending; -1: nobody wants a report. */
  constructor(fd: number, wallClock: () => Date = () => new Date()) {
    this.fd = fd;
    this.wallClock = wallClock;
  }

  add(denial: Denial, verdict: Verdict): void {
    if (this.fd < 0 || this.lines > DENIALS_MAX) return;
    const time = this.wallClock().toISOString();
    if (this.lines++ === DENIALS_MAX) this.write({ time, event: 'further denials are not reported' });
    else this.write({ time, event: 'denied', ...describe(denial), reason: verdict.reason, rule: verdict.rule?.text ?? null });
  }

  private write(line: object): void {
    try {
      writeSync(this.fd, `${JSON.stringify(line)}\n`);
    } catch {
      // A full disk or a closed pipe must not open the network, nor close it.
    }
  }
}

function describe({ what, address, port, names, name, asker }: Denial): object {
  return {
    what,
    ...(address === undefined ? {} : { address: address.toString() }),
    ...(port === undefined ? {} : { port }),
    ...(names === undefined || names.length === 0 ? {} : { names }),
    ...(name === undefined ? {} : { name }),
    ...(asker.pid === 0 ? {} : { pid: asker.pid, command: asker.command }),
  };
}

/** How the report calls a protocol. */
export function protocolWord(protocol: number): 'tcp' | 'udp' | 'icmp' {
  if (protocol === IPPROTO_TCP) return 'tcp';
  return protocol === IPPROTO_UDP ? 'udp' : 'icmp';
}
