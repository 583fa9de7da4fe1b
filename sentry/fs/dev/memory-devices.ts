/**
 * The devices of major number 1 (mem(4), null(4), random(4)): null, zero, full, random, urandom.
 *
 *     registerMemoryDevices(vfs.special, host);
 *
 * They work through whatever node names them: those of /dev and any made with mknod(2). Linux: drivers/char/mem.c, random.c.
 */
import { EINVAL, ENOSPC } from '#sentry/abi/errno.ts';
import { S_IFCHR } from '#sentry/abi/fs.ts';
import type { Host, HostMemory } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import type { Mappable } from '../../mm/mapped-file.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { SpecialFiles } from '../../vfs/special-files.ts';
import { guestOf } from '../anonymous/guest-caller.ts';

export const MEMORY_MAJOR = 1;
/** Minor numbers. */
export const NULL_MINOR = 3;
export const ZERO_MINOR = 5;
export const FULL_MINOR = 7;
export const RANDOM_MINOR = 8;
export const URANDOM_MINOR = 9;

/** Bytes moved at once. */
const CHUNK = 1 << 16;
const RNDGETENTCNT = 0x8004_5200;
/** What Linux reports once its generator is seeded. */
const ENTROPY_BITS = 256;

export function registerMemoryDevices(special: SpecialFiles, host: Host): void {
  const zeros = host.allocate(CHUNK);
  const staging = host.allocate(CHUNK);
  const register = (minor: number, make: (dentry: Dentry, flags: number) => FileDescription): void =>
    special.registerDevice(S_IFCHR, MEMORY_MAJOR, minor, (_inode, dentry, flags) => make(dentry, flags));
  register(NULL_MINOR, (dentry, flags) => new NullFile(dentry, null, flags));
  register(ZERO_MINOR, (dentry, flags) => new ZeroFile(dentry, flags, zeros));
  register(FULL_MINOR, (dentry, flags) => new FullFile(dentry, flags, zeros));
  register(RANDOM_MINOR, (dentry, flags) => new RandomFile(dentry, flags, host, staging, 'pollable'));
  register(URANDOM_MINOR, (dentry, flags) => new RandomFile(dentry, flags, host, staging, 'always ready'));
}

/** Reads nothing, takes everything. */
class NullFile extends FileDescription {
  override get seekable(): boolean {
    return true;
  }
  override get pollable(): boolean {
    return false;
  }
  override seek(): number {
    return 0; // whatever is asked for, as Linux null_lseek
  }
  override read(_io: Io, _position: number, _caller: Caller): number {
    return 0;
  }
  override write(io: Io, _position: number, _caller: Caller): number {
    const length = io.remaining;
    io.skip(length);
    return length;
  }
}

class ZeroFile extends NullFile {
  private readonly zeros: HostMemory;

  constructor(dentry: Dentry, flags: number, zeros: HostMemory) {
    super(dentry, null, flags);
    this.zeros = zeros;
  }

  override read(io: Io): number {
    let total = 0;
    while (io.remaining > 0) {
      const want = Math.min(io.remaining, CHUNK);
      const moved = io.put(this.zeros, 0, want);
      if (moved < 0) return total > 0 ? total : moved;
      total += moved;
      if (moved < want) break;
    }
    return total;
  }

  /** Anonymous memory, also where the mapping is shared. */
  override mappable(_shared: boolean): Mappable | number {
    return ANONYMOUS;
  }
}

const ANONYMOUS: Mappable = { hostFd: -1, hostOffset: 0 };

class FullFile extends ZeroFile {
  override write(_io: Io, _position: number, _caller: Caller): number {
    return -ENOSPC;
  }
  override mappable(shared: boolean): Mappable | number {
    return FileDescription.prototype.mappable.call(this, shared);
  }
}

/** Random bytes of the host's generator. What is written is taken and forgotten: guests add nothing to the host's entropy. */
class RandomFile extends NullFile {
  private readonly host: Host;
  private readonly staging: HostMemory;
  private readonly readiness: 'pollable' | 'always ready';

  constructor(dentry: Dentry, flags: number, host: Host, staging: HostMemory, readiness: 'pollable' | 'always ready') {
    super(dentry, null, flags);
    this.host = host;
    this.staging = staging;
    this.readiness = readiness;
  }

  override get pollable(): boolean {
    return this.readiness === 'pollable';
  }

  override read(io: Io): number {
    let total = 0;
    while (io.remaining > 0) {
      const want = Math.min(io.remaining, CHUNK);
      this.host.random(this.staging, 0, want);
      const moved = io.put(this.staging, 0, want);
      if (moved < 0) return total > 0 ? total : moved;
      total += moved;
      if (moved < want) break;
    }
    return total;
  }

  override write(io: Io): number {
    let total = 0;
    while (io.remaining > 0) {
      const taken = io.take(this.staging, 0, Math.min(io.remaining, CHUNK));
      if (taken < 0) return total > 0 ? total : taken;
      total += taken;
    }
    return total;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    return request === RNDGETENTCNT ? guestOf(caller).memory.storeU32(argument, ENTROPY_BITS) : -EINVAL;
  }
}
