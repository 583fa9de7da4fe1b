/**
 * The memory calls of a guest thread: made by the stub as commands in the thread's slot, at once, several together, or on the way back to
 * the guest.
 *
 *     mmap(…) → addCommand(…)  ┬ at once: the stub performs the list and rings again
 *                              ├ between beginMemoryCalls and endMemoryCalls: with the others, mappings of a file that continue each other as one
 *                              └ deferred: with the next reply, unless somebody looks at the memory before
 */
import { isFreeMemoryCall } from '../bpf/guest-filter.ts';
import type { HostFd } from '../contract/host.ts';
import { StopKind } from '../contract/platform.ts';
import { isOutsideGuest } from '../stub/layout.ts';
import * as nr from '../stub/host-syscalls.ts';
import { ESRCH, State, StubThread } from './stub-thread.ts';

const EINVAL = 22;
const MADV_DONTNEED = 4;

/** What memory calls need of the space. */
export interface MemorySpace {
  /** The thread whose slot holds calls that are yet to be made. */
  deferring: MemoryThread | null;
  mayDefer(): boolean;
  /** The same of advice, after which the areas are as they were. */
  mayDeferAdvice(): boolean;
}

export abstract class MemoryThread extends StubThread {
  abstract readonly space: MemorySpace;
  stop: StopKind = StopKind.Idle;
  #collecting = false;
  /** Of the last list: where a mapping of the same file would have to begin to be one with it. */
  readonly #files = new FileRun();

  /** Guest memory is about to change. */
  protected abstract aboutToChange(number: number, address: number, length: number, protection: number, flags: number, to: number): void;

  mmap(address: number, length: number, protection: number, flags: number, hostFd: HostFd, offset: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MMAP, address, length, protection, flags | nr.MAP_FIXED, hostFd, offset);
  }

  munmap(address: number, length: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MUNMAP, address, length, 0, 0, 0, 0);
  }

  mprotect(address: number, length: number, protection: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MPROTECT, address, length, protection, 0, 0, 0);
  }

  mremap(address: number, oldLength: number, newLength: number, flags: number, newAddress: number): number {
    if (isOutsideGuest(address, oldLength) || isOutsideGuest(newAddress, newLength)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MREMAP, address, oldLength, newLength, flags, newAddress, 0);
  }

  madvise(address: number, length: number, advice: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MADVISE, address, length, advice, 0, 0, 0);
  }

  msync(address: number, length: number, flags: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MSYNC, address, length, flags, 0, 0, 0);
  }

  beginMemoryCalls(_scratch: number): void {
    this.#collecting = true;
  }

  endMemoryCalls(): number {
    this.#collecting = false;
    return this.performDeferred();
  }

  /**
   * Made at once, or with the calls that follow, or on the way back to the guest. The last only while this is the only thread, whose next
   * act makes them, not for files, whose descriptor may be closed until then, and not where the host has the last word.
   */
  #memoryCall(number: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
    const { context, space } = this;
    const asked = !isFreeMemoryCall(number, a1, a2, a3, this.board.memoryLimited);
    const mayDefer = !asked && !this.#collecting && isForeseen(number, a2) && this.stop === StopKind.Syscall && this.#spaceAllows(number);
    // A posted call has no need of the handler: the trampoline makes deferred calls as well.
    if (!(mayDefer && this.state === State.Posted) && !this.enterHandler()) return -ESRCH;
    this.aboutToChange(number, a0, a1, a2, a3, a4);
    const result = context.isFull ? this.performDeferred() : 0;
    if (result < 0) return result;
    if (this.#collecting && this.#continues(number, a0, a1, a2, a3, a4, a5)) return 0;
    if (number === nr.SYS_MMAP && a4 >= 0) this.#files.begin(context.commands, a0, a1, a2, a3, a4, a5);
    else this.#files.end();
    context.addCommand(number, a0, a1, a2, a3, a4, a5);
    if (asked) this.orders.add(number, a0, a1, a2, a3, a4, a5);
    if (this.#collecting) return 0;
    if (!mayDefer) return this.performDeferred();
    if (space.mayDefer()) space.deferring = this;
    return 0;
  }

  /**
   * Advice changes nothing that the kernel knows: the call has not returned yet, so other threads cannot tell when it happened, and nobody has to
   * make it up before he looks.
   */
  #spaceAllows(number: number): boolean {
    return number === nr.SYS_MADVISE ? this.space.mayDeferAdvice() : this.space.mayDefer();
  }

  /**
   * Lengthens the mapping before by this one if it goes on where that ends, in memory and in the file, and sets its protection: the host need
   * not ask us once more. Not where it would ask about the protection.
   */
  #continues(number: number, address: number, length: number, protection: number, flags: number, fd: number, offset: number): boolean {
    const files = this.#files;
    if (number !== nr.SYS_MMAP || this.board.memoryLimited || !files.isContinuedBy(address, flags, fd, offset)) return false;
    if (!isFreeMemoryCall(nr.SYS_MPROTECT, length, protection, 0, false)) return false;
    files.go(length);
    this.context.setCommandLength(files.command, files.length);
    this.orders.setLastLength(files.length);
    if (protection !== files.protection) this.context.addCommand(nr.SYS_MPROTECT, address, length, protection, 0, 0, 0);
    return true;
  }

  /** Makes the memory calls that were collected or deferred. 0 or the error of the first that failed. */
  performDeferred(): number {
    this.space.deferring = null;
    this.#files.end();
    if (this.context.commands === 0) return 0;
    const result = this.enterHandler() ? this.performCommands() : -ESRCH;
    this.orders.clear();
    return result;
  }
}
/** Whether the kernel knows beforehand that the host will do it. */
function isForeseen(number: number, advice: number): boolean {
  if (number === nr.SYS_MADVISE) return advice === MADV_DONTNEED;
  return number !== nr.SYS_MSYNC;
}

/** The mapping of a file that was ordered last, as far as it has grown. */
class FileRun {
  /** Its place in the list; -1: there is none. */
  command = -1;
  length = 0;
  protection = 0;
  #address = 0;
  #flags = 0;
  #fd = -1;
  #offset = 0;

  begin(command: number, address: number, length: number, protection: number, flags: number, fd: number, offset: number): void {
    this.command = command;
    this.length = length;
    this.protection = protection;
    this.#address = address;
    this.#flags = flags;
    this.#fd = fd;
    this.#offset = offset;
  }

  isContinuedBy(address: number, flags: number, fd: number, offset: number): boolean {
    if (this.command < 0 || flags !== this.#flags || fd !== this.#fd) return false;
    return address === this.#address + this.length && offset === this.#offset + this.length;
  }

  go(length: number): void {
    this.length += length;
  }

  end(): void {
    this.command = -1;
  }
}
