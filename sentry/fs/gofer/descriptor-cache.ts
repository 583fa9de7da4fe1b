/**
 * Donated descriptors that nobody has open at the moment, kept because files are opened again and again (shared libraries, headers). Opening
 * such a file needs neither the gofer nor the host. The least recently closed one goes first.
 */
import type { HostFd } from '#platform/contract/host.ts';

/** A donated descriptor and how often it is in use. */
export class Donated {
  readonly fd: HostFd;
  users = 0;
  /** Whether its inode still knows it: otherwise it is closed with its last user. */
  wanted = true;
  private readonly cache: DescriptorCache;

  constructor(fd: HostFd, cache: DescriptorCache) {
    this.fd = fd;
    this.cache = cache;
  }

  acquire(): this {
    if (this.users++ === 0) this.cache.inUse(this);
    return this;
  }

  release(): void {
    if (--this.users === 0) this.cache.idle(this);
  }

  /** Its inode forgets it. */
  discard(): void {
    if (!this.wanted) return;
    this.wanted = false;
    if (this.users === 0) this.cache.close(this);
  }
}

export class DescriptorCache {
  private readonly host: { close(fd: HostFd): void };
  private readonly limit: number;
  private readonly unused = new Set<Donated>();

  constructor(host: { close(fd: HostFd): void }, limit: number) {
    this.host = host;
    this.limit = limit;
  }

  inUse(donated: Donated): void {
    this.unused.delete(donated);
  }

  idle(donated: Donated): void {
    if (!donated.wanted) {
      this.close(donated);
      return;
    }
    this.unused.add(donated);
    if (this.unused.size <= this.limit) return;
    for (const oldest of this.unused) {
      oldest.discard();
      return;
    }
  }

  close(donated: Donated): void {
    this.unused.delete(donated);
    this.host.close(donated.fd);
  }
}
