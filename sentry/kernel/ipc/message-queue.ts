/**
 * A System V message queue (Linux msg_queue): messages in order of arrival, and who waits to receive or to send.
 *
 * A message never waits in the queue while somebody waits for it: `send` hands it over, and `receive` lets senders in whose message fits now.
 * Both act for those who wait, in order of arrival, so nobody overtakes; what a waiting call gets is in its `ReceiveWait` or `SendWait`.
 *
 * Spec: msgop(2); Linux ipc/msg.c (find_msg, pipelined_send, ss_wakeup).
 */
import { E2BIG, EACCES } from '#sentry/abi/errno.ts';
import { IPC_READ, IPC_WRITE } from '#sentry/abi/ipc.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import type { IpcClock } from './ipc-clock.ts';
import { IpcObject } from './ipc-object.ts';

/** `status` of a wait that goes on: no result of a call. */
export const WAITING = 1;
/** The only event on the queue of a wait. */
export const MESSAGE_DONE = 1;

export interface Message {
  /** The type, rounded above 2^53, and exactly as two words. */
  readonly type: number;
  readonly typeLow: number;
  readonly typeHigh: number;
  readonly text: Uint8Array;
}

/** Which message msgrcv(2) asks for. */
export const Search = {
  /** The first. */
  Any: 0,
  /** The first of the type. */
  Equal: 1,
  /** The first of any other type. */
  NotEqual: 2,
  /** The first of the lowest type that is not above. */
  LessEqual: 3,
  /** The one at the position (MSG_COPY). */
  Number: 4,
} as const;
export type Search = (typeof Search)[keyof typeof Search];

export class ReceiveWait {
  readonly search: Search;
  readonly type: number;
  /** Longest message it takes; Infinity where the rest may be cut off. */
  readonly sizeMax: number;
  readonly pid: number;
  readonly credentials: Credentials;
  status: number = WAITING;
  /** With status 0. */
  message: Message | null = null;
  readonly queue = new WaitQueue();

  constructor(search: Search, type: number, sizeMax: number, pid: number, credentials: Credentials) {
    this.search = search;
    this.type = type;
    this.sizeMax = sizeMax;
    this.pid = pid;
    this.credentials = credentials;
  }

  finish(status: number, message: Message | null): void {
    this.status = status;
    this.message = message;
    this.queue.notify(MESSAGE_DONE);
  }
}

export class SendWait {
  readonly message: Message;
  readonly pid: number;
  readonly credentials: Credentials;
  status: number = WAITING;
  readonly queue = new WaitQueue();

  constructor(message: Message, pid: number, credentials: Credentials) {
    this.message = message;
    this.pid = pid;
    this.credentials = credentials;
  }

  finish(status: number): void {
    this.status = status;
    this.queue.notify(MESSAGE_DONE);
  }
}

export class MessageQueue extends IpcObject {
  /** Bytes it may hold, and as many messages. */
  bytesMax: number;
  /** Bytes of the messages it holds. */
  bytes = 0;
  // Numbers of `PidNamespace.global`, and seconds since 1970; 0 for never.
  lastSender = 0;
  lastReceiver = 0;
  sendTime = 0;
  receiveTime = 0;
  private readonly clock: IpcClock;
  private readonly messages = new Set<Message>();
  private readonly receivers = new Set<ReceiveWait>();
  private readonly senders = new Set<SendWait>();

  constructor(key: number, flags: number, bytesMax: number, clock: IpcClock, credentials: Credentials) {
    super(key, flags, credentials);
    this.bytesMax = bytesMax;
    this.clock = clock;
  }

  get length(): number {
    return this.messages.size;
  }

  fits({ text }: Message): boolean {
    return this.bytes + text.length <= this.bytesMax && this.messages.size + 1 <= this.bytesMax;
  }

  /** Takes a message that fits: for the first who waits for such a one, or into the queue. */
  send(message: Message, pid: number): void {
    this.lastSender = pid;
    this.sendTime = this.clock.now;
    for (const wait of this.receivers) {
      if (!matches(message, wait.search, wait.type)) continue;
      this.receivers.delete(wait);
      if (message.text.length > wait.sizeMax) {
        wait.finish(-E2BIG, null);
        continue;
      }
      this.lastReceiver = wait.pid;
      this.receiveTime = this.clock.now;
      wait.finish(0, message);
      return;
    }
    this.messages.add(message);
    this.bytes += message.text.length;
  }

  find(search: Search, type: number): Message | null {
    let found: Message | null = null;
    let position = 0;
    let limit = type;
    for (const message of this.messages) {
      if (search === Search.Number) {
        if (position++ === type) return message;
      } else if (matches(message, search, limit)) {
        if (search !== Search.LessEqual || message.type === 1) return message;
        found = message;
        limit = message.type - 1;
      }
    }
    return found;
  }

  /** Takes `message` out for a process, and lets in who waits for the room. */
  take(message: Message, pid: number): void {
    this.messages.delete(message);
    this.bytes -= message.text.length;
    this.lastReceiver = pid;
    this.receiveTime = this.clock.now;
    this.admit();
  }

  /** Sends for those who wait what fits now. */
  admit(): void {
    for (const wait of this.senders) {
      if (!this.fits(wait.message)) continue;
      this.senders.delete(wait);
      this.send(wait.message, wait.pid);
      wait.finish(0);
    }
  }

  addReceiver(wait: ReceiveWait): void {
    this.receivers.add(wait);
  }
  removeReceiver(wait: ReceiveWait): void {
    this.receivers.delete(wait);
  }
  addSender(wait: SendWait): void {
    this.senders.add(wait);
  }
  removeSender(wait: SendWait): void {
    this.senders.delete(wait);
  }

  /** The mode or the room has changed: those who may no longer do what they wait for hear it, and others may go on. */
  reconsider(): void {
    for (const wait of this.receivers) {
      if (this.permits(wait.credentials, IPC_READ)) continue;
      this.receivers.delete(wait);
      wait.finish(-EACCES, null);
    }
    for (const wait of this.senders) {
      if (this.permits(wait.credentials, IPC_WRITE)) continue;
      this.senders.delete(wait);
      wait.finish(-EACCES);
    }
    this.admit();
  }

  /** Ends everybody's wait and gives up the messages, which are returned (IPC_RMID). */
  dismiss(status: number): Iterable<Message> {
    for (const wait of this.receivers) wait.finish(status, null);
    for (const wait of this.senders) wait.finish(status);
    this.receivers.clear();
    this.senders.clear();
    return this.messages;
  }
}

function matches(message: Message, search: Search, type: number): boolean {
  switch (search) {
    case Search.Any:
    case Search.Number:
      return true;
    case Search.Equal:
      return message.type === type;
    case Search.NotEqual:
      return message.type !== type;
    case Search.LessEqual:
      return message.type <= type;
    default:
      return search satisfies never;
  }
}
