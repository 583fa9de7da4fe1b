/**
 * A guest address space: one host process and its threads.
 *
 * Guest memory is read and written with process_vm_readv and process_vm_writev, which honour page protection and stop exactly at
 * the first inaccessible page.
 *
 * A host thread whose guest thread ended is kept for the next one (`idle`), a few of them and always the first thread: the process would
 * have no name without it. Making a thread and ending it then cost the host nothing.
 */
import type { GuestPieces, GuestSpace, GuestThread } from '../contract/platform.ts';
import type { HostMemory } from '../contract/host.ts';
import * as process from '../host/process.ts';
import { readRemotePieces, writeRemotePieces } from '../host/remote-pieces.ts';
import type { PtracePlatform } from './ptrace-platform.ts';
import type { PtraceThread } from './guest-thread.ts';
import type { VdsoPlace } from '../stub/layout.ts';

export interface IdleThread {
  readonly tid: number;
  readonly placement: number;
}

export class PtraceSpace implements GuestSpace {
  readonly platform: PtracePlatform;
  /** The host process. */
  readonly pid: number;
  readonly vdso: VdsoPlace | null;
  readonly threads = new Set<PtraceThread>();
  /** Stopped host threads without a guest thread. */
  readonly idle: IdleThread[] = [];
  /** The process is gone or belongs to another space. */
  ended = false;

  constructor(platform: PtracePlatform, pid: number, vdso: VdsoPlace | null) {
    this.platform = platform;
    this.pid = pid;
    this.vdso = vdso;
  }

  read(address: number, memory: HostMemory, offset: number, length: number): number {
    if (!fits(memory, offset, length)) throw new RangeError('guest read: range outside of the host memory');
    if (length === 0 || this.ended) return 0;
    const result = process.readRemote(this.pid, address, memory, offset, length);
    return result < 0 ? 0 : result;
  }

  write(address: number, memory: HostMemory, offset: number, length: number): number {
    if (!fits(memory, offset, length)) throw new RangeError('guest write: range outside of the host memory');
    if (length === 0 || this.ended) return 0;
    const result = process.writeRemote(this.pid, address, memory, offset, length);
    return result < 0 ? 0 : result;
  }

  readPieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    return this.ended ? 0 : readRemotePieces(this.pid, pieces, memory, offset, length);
  }

  writePieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    return this.ended ? 0 : writeRemotePieces(this.pid, pieces, memory, offset, length);
  }

  compareExchange(thread: GuestThread, address: number, expected: number, desired: number): number {
    return (thread as PtraceThread).compareExchange(address, expected, desired);
  }

  cpuTimeNs(): number {
    return this.ended ? 0 : process.cpuTimeNs(this.pid);
  }

  kill(): void {
    this.platform.killSpace(this);
  }
}

function fits(memory: HostMemory, offset: number, length: number): boolean {
  return offset >= 0 && length >= 0 && offset + length <= memory.bytes.length;
}
