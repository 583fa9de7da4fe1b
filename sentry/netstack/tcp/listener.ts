/**
 * A listening socket: requests that wait for the third segment of the handshake (the SYN queue), and connections that wait for accept(2). Both
 * are bounded by listen(2)'s backlog.
 *
 *     const listener = connection.listen(backlog);      // connection.ts; takes over the port
 *     listener.observer = socket;                       // onChange: a connection can be accepted
 *     const child = listener.accept();                  // null: none
 *     listener.close();
 *
 * When the accept queue is full, the last segment of a handshake is ignored and the peer's data is retransmitted until there is room; when the
 * SYN queue is full, cookies are sent instead of remembering (passive-open.ts). Linux: inet_connection_sock.c.
 */
import { READABLE } from '#sentry/abi/fs.ts';
import { orphanUnaccepted } from './closing.ts';
import type { ControlBlock, TcpObserver } from './control-block.ts';
import type { TcpContext } from './context.ts';
import { BACKLOG_MAX } from './limits.ts';
import type { TcpOptions } from './options.ts';
import { PortUse } from './ports.ts';
import { LISTEN } from './states.ts';
import { dropRequest } from './syn-request.ts';
import type { SynRequest } from './syn-request.ts';

export class TcpListener extends PortUse {
  // Fixed.
  readonly context: TcpContext;
  readonly options: TcpOptions;
  observer: TcpObserver | null = null;
  isClosed = false;
  readonly state = LISTEN;
  /** As listen(2) gave it. */
  backlog = 0;
  /** SYN queue. */
  firstRequest: SynRequest | null = null;
  requests = 0;
  /** Until when acknowledgements may carry cookies, CLOCK_MONOTONIC. */
  cookiesUntilNs = 0;
  private readonly ready: ControlBlock[] = [];

  constructor(context: TcpContext, options: TcpOptions) {
    super();
    this.context = context;
    this.options = options;
    this.isListening = 1;
  }

  /** Address and flags of the socket that becomes this listener. */
  takeOver(from: PortUse): void {
    this.local.copy(from.local);
    this.boundInterface = from.boundInterface;
    this.reuseAddress = from.reuseAddress;
    this.reusePort = from.reusePort;
    this.v6Only = from.v6Only;
    this.uid = from.uid;
  }

  setBacklog(backlog: number): void {
    this.backlog = Math.min(Math.max(backlog, 0), BACKLOG_MAX);
  }

  /** Linux admits one more than the backlog says. */
  get isAcceptQueueFull(): boolean {
    return this.ready.length > this.backlog;
  }

  get isRequestQueueFull(): boolean {
    return this.requests >= Math.max(this.backlog, 1);
  }

  get acceptable(): number {
    return this.ready.length;
  }

  /** POLL* bits. */
  get events(): number {
    return this.ready.length > 0 ? READABLE : 0;
  }

  push(connection: ControlBlock): void {
    this.ready.push(connection);
  }

  announce(): void {
    this.observer?.onChange(READABLE);
  }

  /** The next connection, whose `observer` is the caller's to set; null: none. */
  accept(): ControlBlock | null {
    const connection = this.ready.shift();
    if (connection === undefined) return null;
    connection.listener = null;
    return connection;
  }

  /** Requests are forgotten, connections nobody accepted are reset. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isListening = 0;
    const { context } = this;
    context.listeners.remove(this);
    while (this.firstRequest !== null) dropRequest(context, this.firstRequest);
    for (const connection of this.ready) {
      connection.listener = null;
      orphanUnaccepted(connection);
    }
    this.ready.length = 0;
    context.ports.release(this);
  }
}
