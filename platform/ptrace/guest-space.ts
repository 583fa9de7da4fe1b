/**
 * A guest address space: one host process and its threads.
 *
 * Guest memory is read and written with process_vm_readv and process_vm_writev, which honour page protection and stop exactly at
 * the first inaccessible page. They name the process by a thread that is alive: a leader that exited has no memory any more.
 */
import type { GuestSpace, GuestThread } from '../contract/platform.ts';
import type { HostMemory } from '../contract/host.ts';
import * as process from '../host/process.ts';
import type { PtracePlatform } from './ptrace-platform.ts';
import type { PtraceThread } from './guest-thread.ts';
import type { VdsoPlace } from './zygote.ts';

export class PtraceSpace implements GuestSpace {
  readonly platform: PtracePlatform;
  /** The host process. */
  readonly pid: number;
  readonly vdso: VdsoPlace | null;
  readonly threads = new Set<PtraceThread>();
  #memoryTid: number;

  constructor(platform: PtracePlatform, pid: number, vdso: VdsoPlace | null) {
    this.platform = platform;
    this.pid = pid;
    this.vdso = vdso;
    this.#memoryTid = pid;
  }

  read(address: number, memory: HostMemory, offset: number, length: number): number {
    if (!fits(memory, offset, length)) throw new RangeError('guest read: range outside of the host memory');
    if (length === 0) return 0;
    const result = process.readRemote(this.#memoryTid, address, memory, offset, length);
    return result < 0 ? 0 : result;
  }

  write(address: number, memory: HostMemory, offset: number, length: number): number {
    if (!fits(memory, offset, length)) throw new RangeError('guest write: range outside of the host memory');
    if (length === 0) return 0;
    const result = process.writeRemote(this.#memoryTid, address, memory, offset, length);
    return result < 0 ? 0 : result;
  }

  compareExchange(thread: GuestThread, address: number, expected: number, desired: number): number {
    return (thread as PtraceThread).compareExchange(address, expected, desired);
  }

  cpuTimeNs(): number {
    return process.cpuTimeNs(this.pid);
  }

  kill(): void {
    this.platform.killSpace(this);
  }

  /** Forgets a thread that ended or is ending. */
  remove(thread: PtraceThread): void {
    this.threads.delete(thread);
    if (thread.tid !== this.#memoryTid) return;
    const [other] = this.threads;
    if (other !== undefined) this.#memoryTid = other.tid;
  }
}

function fits(memory: HostMemory, offset: number, length: number): boolean {
  return offset >= 0 && length >= 0 && offset + length <= memory.bytes.length;
}
