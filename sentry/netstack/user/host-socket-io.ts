/**
 * A donated socket of the host as an `Io`, so that a TCP connection's `receive` writes to it right out of the packets that came from the guest, and `send`
 * reads from it right into those that go there: nothing is copied in between.
 *
 *     io.begin(fd, budget);  connection.receive(io, 0);    then io.isBlocked, io.error
 *     io.begin(fd, budget);  connection.send(io, 0);       then io.isBlocked, io.isEnded, io.error
 *
 * What the socket does not take stays in the connection, and its window closes; what the connection does not take stays in the host.
 */
import { EAGAIN } from '#sentry/abi/errno.ts';
import type { HostFd, HostMemory } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import type { FlowHost } from './outside.ts';

export class HostSocketIo implements Io {
  remaining = 0;
  /** The socket has no room, or nothing to read, for now. */
  isBlocked = false;
  /** The peer sends no more. */
  isEnded = false;
  /** Positive: what the socket failed with. */
  error = 0;
  private fd: HostFd = -1;
  private readonly host: FlowHost;

  constructor(host: FlowHost) {
    this.host = host;
  }

  begin(fd: HostFd, budget: number): this {
    this.fd = fd;
    this.remaining = budget;
    this.isBlocked = false;
    this.isEnded = false;
    this.error = 0;
    return this;
  }

  put(memory: HostMemory, offset: number, length: number): number {
    const written = this.host.write(this.fd, memory, offset, length);
    if (written < 0) return this.failed(written);
    this.remaining -= written;
    if (written < length) this.isBlocked = true;
    return written;
  }

  take(memory: HostMemory, offset: number, length: number): number {
    const got = this.host.read(this.fd, memory, offset, length);
    if (got < 0) {
      this.failed(got);
      this.remaining = 0;
      return 0;
    }
    this.remaining -= got;
    // Less than there was room for: that was all, and epoll tells when there is more (epoll(7)).
    if (got === length) return got;
    if (got === 0) this.isEnded = true;
    else this.isBlocked = true;
    this.remaining = 0;
    return got;
  }

  private failed(result: number): number {
    if (result === -EAGAIN) this.isBlocked = true;
    else this.error = -result;
    return -EAGAIN;
  }

  skip(length: number): void {
    this.remaining -= length;
  }
}
