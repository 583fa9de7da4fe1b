/**
 * Where the reply to one request is received. A request whose reply is needed at once uses the connection's own slot; one that is sent ahead
 * of need has a slot of its own, in which its reply waits until somebody comes for it. The gofer answers in the order of the requests, so
 * replies to earlier ones are received on the way to a later one, each into its slot, and looked at when that does no harm.
 *
 *     connection.begin(slot, Tree, request);            // … the guest goes on, and so does the gofer …
 *     const body = connection.finish(slot, Tree);       // waits if the reply is not there yet
 */
import { Reader } from '#gofer/protocol/codec.ts';
import { isReplyTo, replyErrno } from '#gofer/protocol/header.ts';
import { MESSAGE_MAX } from '#gofer/protocol/limits.ts';
import { REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';

/** What the host's `receive` takes at once. */
const DESCRIPTORS_MAX = 8;

export class ReplySlot {
  /** A request was sent, and `finish` was not called for it. */
  isBusy = false;
  /** Its reply is here. */
  hasArrived = false;
  readonly reader: Reader = new Reader();
  private readonly host: Pick<Host, 'receive' | 'receivedDescriptors' | 'close'>;
  private readonly memory: HostMemory;
  private readonly descriptors = new Int32Array(DESCRIPTORS_MAX);
  /** Descriptors that nobody took yet are [taken, donatedCount) of `descriptors`. */
  private donatedCount = 0;
  private taken = 0;
  private type = 0;
  private tag = 0;

  constructor(host: Pick<Host, 'allocate' | 'receive' | 'receivedDescriptors' | 'close'>) {
    this.host = host;
    this.memory = host.allocate(Math.ceil(MESSAGE_MAX / 4096) * 4096);
  }

  /** A request of this type and tag was sent. */
  expect(type: number, tag: number): void {
    this.isBusy = true;
    this.hasArrived = false;
    this.type = type;
    this.tag = tag;
  }

  /** Receives what comes next, which must be the reply. Its length; 0: the other side is gone; -errno; -Infinity: it is something else. */
  receive(socket: HostFd, timeoutMs: number): number {
    const { host, memory } = this;
    this.dropDescriptors();
    this.hasArrived = true;
    const length = host.receive(socket, memory, 0, MESSAGE_MAX, this.descriptors, timeoutMs);
    if (length > 0) this.donatedCount = host.receivedDescriptors;
    if (length <= 0) return length;
    if (!isReplyTo(memory, 0, length, this.type | REPLY, this.tag)) return -Infinity;
    this.reader.begin(memory, REPLY_HEADER_SIZE, length - REPLY_HEADER_SIZE);
    return length;
  }

  /** errno of the reply that has arrived. */
  get errno(): number {
    return replyErrno(this.memory, 0);
  }

  /** The next descriptor that came with the reply; the caller owns it. -1: none. */
  takeDescriptor(): HostFd {
    return this.taken < this.donatedCount ? this.descriptors[this.taken++]! : -1;
  }

  /** Descriptors nobody took, of a reply nobody could use. */
  dropDescriptors(): void {
    for (let fd = this.takeDescriptor(); fd >= 0; fd = this.takeDescriptor()) this.host.close(fd);
    this.donatedCount = 0;
    this.taken = 0;
  }
}
