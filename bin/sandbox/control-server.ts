/**
 * The sentry's side of `control.sock`: takes requests of verbs while guests run, in the kernel's own loop.
 *
 *     new ControlServer(kernel, listener, answer).start();
 *
 * Clients are processes with the rights to the container's directory, not guests; still, a message that is not understood costs its sender the
 * connection and nothing more.
 */
import { EAGAIN } from '#sentry/abi/errno.ts';
import type { HostFd, HostMemory } from '#platform/contract/host.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { UserError } from '../errors.ts';
import { CONTROL_MESSAGE_MAX, STAND_IN_SIZE } from '../oci/control/protocol.ts';
import type { ControlFailure, ControlRequest } from '../oci/control/protocol.ts';

const EPOLLIN = 1;
const DESCRIPTORS_MAX = 32;
const EXIT_FAILED = 1;
/** A signal from a stand-in. */
const SIGNAL_SIZE = 4;

/** What answers requests: an object to be sent at once, or null when the reply comes later (`Client.reply`). It owns the descriptors. May throw UserError. */
export type Answer = (request: ControlRequest, descriptors: readonly HostFd[], client: Client) => object | null;

/** A connected verb, or the stand-in that it became. */
export class Client {
  /** Given a signal once the connection is a stand-in's. */
  onSignal: ((signo: number) => void) | null = null;
  /** The other end is gone. */
  onGone: (() => void) | null = null;
  /** The process id of a stand-in, once it is known. */
  hostPid: number | null = null;
  private readonly server: ControlServer;
  private readonly fd: HostFd;
  private isOpen = true;

  constructor(server: ControlServer, fd: HostFd) {
    this.server = server;
    this.fd = fd;
  }

  reply(reply: object | ControlFailure): void {
    this.server.send(this.fd, encode(JSON.stringify(reply)));
  }

  /** Replies with what `make` returns, unless that is null, or with the sentence of the UserError it throws. */
  answerWith(make: () => object | null): void {
    try {
      const reply = make();
      if (reply !== null) this.reply(reply);
    } catch (error) {
      if (error instanceof SyntaxError) this.close();
      else if (error instanceof UserError)
        this.reply({ error: error.message, exitCode: error.exitCode || EXIT_FAILED } satisfies ControlFailure);
      else throw error;
    }
  }

  /** To a stand-in, which ends with it. */
  tellExit(status: number): void {
    this.onGone = null;
    this.server.send(this.fd, String.fromCharCode(status, 0, 0, 0));
    this.close();
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.server.forget(this.fd);
    const gone = this.onGone;
    this.onGone = null;
    gone?.();
  }
}

export class ControlServer {
  private readonly kernel: Kernel;
  private readonly listener: HostFd;
  private readonly answer: Answer;
  private readonly memory: HostMemory;
  private readonly descriptors = new Int32Array(DESCRIPTORS_MAX);

  constructor(kernel: Kernel, listener: HostFd, answer: Answer) {
    this.kernel = kernel;
    this.listener = listener;
    this.answer = answer;
    this.memory = kernel.host.allocate(CONTROL_MESSAGE_MAX);
  }

  start(): void {
    this.kernel.watch(this.listener, EPOLLIN, () => this.accept());
  }

  /** A connection that was made before there was a server: that of `create` in a pod, for example. */
  adopt(fd: HostFd): Client {
    const client = new Client(this, fd);
    this.kernel.watch(fd, EPOLLIN, () => this.receive(client, fd));
    return client;
  }

  /** `message`: one character per byte. */
  send(fd: HostFd, message: string): void {
    const { memory } = this;
    const length = memory.writeLatin1(message, 0);
    // A client that has gone, or does not read what it asked for, has no need of it.
    this.kernel.host.send(fd, memory, 0, length);
  }

  forget(fd: HostFd): void {
    this.kernel.unwatch(fd);
    this.kernel.host.close(fd);
  }

  private accept(): void {
    for (;;) {
      const fd = this.kernel.host.accept!(this.listener);
      if (fd < 0) return;
      this.adopt(fd);
    }
  }

  private receive(client: Client, fd: HostFd): void {
    const { host } = this.kernel;
    const length = host.receive(fd, this.memory, 0, CONTROL_MESSAGE_MAX, this.descriptors, 0);
    if (length === -EAGAIN) return;
    const descriptors = [...this.descriptors.subarray(0, Math.max(host.receivedDescriptors, 0))];
    if (length <= 0) {
      client.close();
      return;
    }
    if (client.onSignal !== null) {
      const number = this.memory.view.getUint32(0, true);
      if (length === SIGNAL_SIZE) client.onSignal(number);
      else if (length === STAND_IN_SIZE) client.hostPid = number;
      return;
    }
    this.serve(client, this.memory.latin1(0, length), descriptors);
  }

  private serve(client: Client, text: string, descriptors: readonly HostFd[]): void {
    client.answerWith(() => this.answer(JSON.parse(decode(text)) as ControlRequest, descriptors, client));
  }
}

// JSON travels as UTF-8; HostMemory takes one byte per character.
function encode(text: string): string {
  return Buffer.from(text).toString('latin1');
}
function decode(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString();
}
