/**
 * Guest processes whose guest has ended, emptied for the next one: cheaper than a process that ends and another that is forked.
 *
 * Nothing of the old guest survives. Its memory is unmapped whole; the stub, the vDSO and the slots lie where no memory call of a guest
 * reaches (platform/bpf/guest-filter.ts); the slot's frame is replaced by the zygote's, the rest of it cleared; and a guest can set nothing
 * else on the host. Only processes all of whose threads wait in the filter for our reply qualify: none runs code of the guest while that is
 * done, and the reply tells each where to go on.
 *
 *     offer(space, threads)    the first thread is told to unmap, and not waited for
 *     take()                   the oldest; waits for it if need be
 */
import { CONTEXT_BASE } from '../stub/layout.ts';
import { Reply } from '../stub/guest-code.ts';
import type { SeccompSpace } from './guest-space.ts';
import type { SeccompThread } from './guest-thread.ts';
import * as nr from '../stub/host-syscalls.ts';

/** Few: an idle sandbox should not hold what it may never need. */
const SPARES_MAX = 2;

export interface SpareProcess {
  readonly space: SeccompSpace;
  readonly leader: SeccompThread;
}

export class SpareProcesses {
  readonly #spares: SpareProcess[] = [];

  get wantsMore(): boolean {
    return this.#spares.length < SPARES_MAX;
  }

  offer(spare: SpareProcess): void {
    const { leader } = spare;
    leader.context.commands = 0;
    leader.orders.clear();
    leader.context.addCommand(nr.SYS_MUNMAP, 0, CONTEXT_BASE, 0, 0, 0, 0);
    leader.context.endCommands();
    leader.reply(Reply.Commands);
    this.#spares.push(spare);
  }

  take(): SpareProcess | null {
    for (let spare = this.#spares.shift(); spare !== undefined; spare = this.#spares.shift()) {
      if (spare.leader.finishCommands() === 0) return spare;
    }
    return null;
  }
}
