/**
 * What the flows of one gateway share, and the list of those that have something to do. Events only note what is ready (`wake`); the moving is done from
 * `runPending`, so that no flow works from within another's or the stack's calls.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import type { IpAddress } from '../address.ts';
import type { Stack } from '../stack.ts';
import { findAsker } from './asker.ts';
import type { Asker } from './asker.ts';
import { HostSocketIo } from './host-socket-io.ts';
import { CLAIM_BYTES_MAX } from './limits.ts';
import type { FlowHost, Outside } from './outside.ts';

export abstract class Flow {
  nextPending: Flow | null = null;
  isPending = false;

  /** Moves what can be moved, within the flow's budget. */
  abstract run(): void;
}

export class FlowContext {
  readonly host: FlowHost;
  readonly outside: Outside;
  /** The gateway's own. */
  readonly stack: Stack;
  private readonly guest: Stack;
  readonly io: HostSocketIo;
  /** Room for the first bytes of a flow. */
  readonly memory: HostMemory;
  /** TCP flows. */
  tcpFlows = 0;
  private first: Flow | null = null;
  private last: Flow | null = null;
  private readonly onWork: () => void;

  /** `onWork`: something has to be done; the kernel shall call `Gateway.poll`. */
  constructor(host: FlowHost, outside: Outside, stack: Stack, guest: Stack, onWork: () => void) {
    this.host = host;
    this.outside = outside;
    this.stack = stack;
    this.guest = guest;
    this.io = new HostSocketIo(host);
    this.memory = host.allocate(CLAIM_BYTES_MAX);
    this.onWork = onWork;
  }

  /** Whose flow it is that leads from `from`, at the guest, to `to` as the guest knows it. */
  askerOf(protocol: number, from: IpAddress, fromPort: number, to: IpAddress, toPort: number): Asker {
    return findAsker(this.guest, protocol, from, fromPort, to, toPort);
  }

  get hasPending(): boolean {
    return this.first !== null;
  }

  wake(flow: Flow): void {
    this.onWork();
    if (flow.isPending) return;
    flow.isPending = true;
    flow.nextPending = null;
    if (this.last === null) this.first = flow;
    else this.last.nextPending = flow;
    this.last = flow;
  }

  /** Sets the stack's time; for what is called by an event of the host. */
  touch(): void {
    this.onWork();
  }

  /** Runs those that are pending now; who is woken meanwhile waits for the next call. */
  runPending(): void {
    let flow = this.first;
    this.first = null;
    this.last = null;
    while (flow !== null) {
      const next: Flow | null = flow.nextPending;
      flow.isPending = false;
      flow.nextPending = null;
      flow.run();
      flow = next;
    }
  }
}
