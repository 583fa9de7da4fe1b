/**
 * `FakePlatform`: guests that are played by the test.
 *
 * A fake thread executes nothing. What it does next is pushed by the test, or comes from a generator that receives the results:
 *
 *     const thread = platform.createSpace();
 *     thread.play(function* () {
 *       const fd = yield [SYS_openat, AT_FDCWD, path, O_RDONLY, 0];   // a system call; the value of `yield` is its result
 *       yield { signo: 11, code: 1, address: 0x1234 };                // a fault
 *     });
 *
 * or, one step at a time, `thread.syscall(nr, …args)` and, after the kernel resumed it, `thread.result()`. `wait` returns stops in the
 * order in which they came. When nothing is left but the alarm it moves the clock there; when nothing is left at all it throws, because the
 * kernel under test would sleep for ever.
 */
import { StopKind } from '../contract/platform.ts';
import type { Fault, GuestSpace, GuestThread, Platform, PlatformLimits } from '../contract/platform.ts';
import type { HostFd, HostMemory } from '../contract/host.ts';
import type { FakeHost } from './fake-host.ts';
import { FakeFile } from './fake-files.ts';
import { FakePages } from './fake-memory.ts';

const EBADF = 9;
const EINVAL = 22;
const ENOMEM = 12;
const MAP_SHARED = 1;
const MAP_ANONYMOUS = 0x20;
const MADV_DONTNEED = 4;
const RAX = 20;
const REGISTER_WORDS = 54;
const CALL_WORDS = 14;
const XSAVE_BYTES = 832;

export type FakeCall = readonly [nr: number, ...args: number[]];
export interface FakeFault {
  readonly signo: number;
  readonly code: number;
  readonly address: number;
}
/** What a guest does next. Receives the result of each system call. */
export type FakeProgram = Generator<FakeCall | FakeFault, void, number>;

export class FakeSpace implements GuestSpace {
  readonly vdso = null;
  readonly threads = new Set<FakeThread>();
  readonly pages: FakePages;

  constructor(pages: FakePages) {
    this.pages = pages;
  }

  read(address: number, memory: HostMemory, offset: number, length: number): number {
    return this.pages.read(address, memory.bytes.subarray(offset, offset + length));
  }

  write(address: number, memory: HostMemory, offset: number, length: number): number {
    return this.pages.write(address, memory.bytes.subarray(offset, offset + length));
  }

  compareExchange(_thread: GuestThread, address: number, expected: number, desired: number): number {
    const bytes = new Uint8Array(4);
    const view = new DataView(bytes.buffer);
    if (this.pages.read(address, bytes) !== 4) return -1;
    const old = view.getUint32(0, true);
    view.setUint32(0, old === expected >>> 0 ? desired >>> 0 : old, true);
    return this.pages.write(address, bytes) === 4 ? old : -1;
  }

  kill(): void {
    for (const thread of this.threads) thread.release();
    this.pages.clear();
  }
}

export class FakeThread implements GuestThread {
  owner: unknown = null;
  readonly space: FakeSpace;
  readonly platform: FakePlatform;
  stop: StopKind = StopKind.Idle;
  readonly call = new Uint32Array(CALL_WORDS);
  readonly fault: Fault = { signo: 0, code: 0, addressLow: 0, addressHigh: 0, trapNumber: 0, errorCode: 0 };
  readonly extendedStateSize = XSAVE_BYTES;
  running = false;
  released = false;
  /** Called with each thread that is forked or spawned from this one: gives it something to play. */
  onClone: ((child: FakeThread) => void) | null = null;
  readonly #registers = new Uint32Array(REGISTER_WORDS);
  readonly #extendedState = new Uint8Array(XSAVE_BYTES);
  readonly #steps: (FakeCall | FakeFault)[] = [];
  #program: FakeProgram | null = null;
  #programStarted = false;

  constructor(platform: FakePlatform, space: FakeSpace) {
    this.platform = platform;
    this.space = space;
    space.threads.add(this);
  }

  // For tests.

  /** The program starts at the next `resume`. */
  play(program: () => FakeProgram): void {
    this.#program = program();
    this.#programStarted = false;
  }

  /** The next thing a running thread does, or the first after it is resumed. */
  syscall(nr: number, ...args: number[]): void {
    this.#steps.push([nr, ...args]);
    this.#proceed();
  }

  raiseFault(fault: FakeFault): void {
    this.#steps.push(fault);
    this.#proceed();
  }

  /** The low 53 bits of rax as a signed number: the result of the last call, once the thread was resumed. */
  result(): number {
    return this.#registers[RAX]! + (this.#registers[RAX + 1]! | 0) * 0x1_0000_0000;
  }

  // The contract.

  setResult(value: number): void {
    this.#registers[RAX] = value >>> 0;
    this.#registers[RAX + 1] = Math.floor(value / 0x1_0000_0000) >>> 0;
  }

  registers(): Uint32Array {
    return this.#registers;
  }

  registersChanged(): void {}

  readExtendedState(into: HostMemory, offset: number): number {
    into.bytes.set(this.#extendedState, offset);
    return XSAVE_BYTES;
  }

  writeExtendedState(from: HostMemory, offset: number, length: number): number {
    if (length > XSAVE_BYTES) return -EINVAL;
    this.#extendedState.fill(0);
    this.#extendedState.set(from.bytes.subarray(offset, offset + length));
    return 0;
  }

  resume(): void {
    if (this.released) throw new Error('fake thread: resumed after release');
    const first = !this.#programStarted;
    this.running = true;
    if (this.#program !== null) {
      this.#programStarted = true;
      const step = first ? this.#program.next() : this.#program.next(this.result());
      if (step.done === true) this.#program = null;
      else this.#steps.push(step.value);
    }
    this.#proceed();
  }

  interrupt(): void {
    if (!this.running) return;
    this.running = false;
    this.stop = StopKind.Interrupted;
    this.platform.stopped(this);
  }

  mmap(address: number, length: number, protection: number, flags: number, hostFd: HostFd, offset: number): number {
    const { pages } = this.space;
    pages.unmap(address, length);
    if ((flags & MAP_ANONYMOUS) !== 0 || hostFd < 0) {
      if ((flags & MAP_SHARED) === 0) {
        pages.mapPrivate(address, length, protection, null, 0);
        return 0;
      }
      const anonymous = new FakeFile();
      anonymous.truncate(length);
      pages.mapShared(address, length, protection, anonymous, 0);
      return 0;
    }
    const file = this.platform.host.file(hostFd);
    if (file === null) return -EBADF;
    if ((flags & MAP_SHARED) !== 0) pages.mapShared(address, length, protection, file, offset);
    else pages.mapPrivate(address, length, protection, file, offset);
    return 0;
  }

  munmap(address: number, length: number): number {
    this.space.pages.unmap(address, length);
    return 0;
  }

  mprotect(address: number, length: number, protection: number): number {
    return this.space.pages.protect(address, length, protection) ? 0 : -ENOMEM;
  }

  mremap(address: number, oldLength: number, newLength: number, _flags: number, newAddress: number): number {
    this.space.pages.move(address, oldLength, newAddress === 0 ? address : newAddress, newLength);
    return 0;
  }

  madvise(address: number, length: number, advice: number): number {
    if (advice === MADV_DONTNEED) this.space.pages.discard(address, length);
    return 0;
  }

  msync(): number {
    return 0;
  }

  beginMemoryCalls(): void {}

  endMemoryCalls(): number {
    return 0;
  }

  /** Fake threads run nowhere. */
  setAffinity(_words: readonly number[] | null): void {}

  fork(): FakeThread {
    return this.#clone(new FakeSpace(this.space.pages.copy()));
  }

  spawn(): FakeThread {
    return this.#clone(this.space);
  }

  release(): void {
    this.released = true;
    this.running = false;
    this.space.threads.delete(this);
    this.platform.forget(this);
  }

  #clone(space: FakeSpace): FakeThread {
    const child = new FakeThread(this.platform, space);
    child.#registers.set(this.#registers);
    child.#extendedState.set(this.#extendedState);
    child.onClone = this.onClone;
    this.onClone?.(child);
    return child;
  }

  /** A running thread with something to do stops there. */
  #proceed(): void {
    if (!this.running) return;
    const step = this.#steps.shift();
    if (step === undefined) return;
    this.running = false;
    if ('signo' in step) this.#stopAtFault(step);
    else this.#stopAtCall(step);
    this.platform.stopped(this);
  }

  #stopAtCall([nr, ...args]: FakeCall): void {
    this.stop = StopKind.Syscall;
    this.call.fill(0);
    for (const [index, value] of [nr, ...args].entries()) {
      this.call[index * 2] = value >>> 0;
      this.call[index * 2 + 1] = index === 0 ? 0 : Math.floor(value / 0x1_0000_0000) >>> 0;
    }
  }

  #stopAtFault({ signo, code, address }: FakeFault): void {
    this.stop = StopKind.Fault;
    Object.assign(this.fault, { signo, code, addressLow: address >>> 0, addressHigh: Math.floor(address / 0x1_0000_0000) });
  }
}

export class FakePlatform implements Platform {
  readonly name = 'fake';
  readonly limits: PlatformLimits = { lowestAddress: 0x1_0000, highestAddress: 0x7fff_ffff_f000 };
  readonly host: FakeHost;
  readonly #stops: FakeThread[] = [];

  constructor(host: FakeHost) {
    this.host = host;
  }

  createSpace(): FakeThread {
    return new FakeThread(this, new FakeSpace(new FakePages()));
  }

  wait(): FakeThread | null {
    const thread = this.#stops.shift();
    if (thread !== undefined) return thread;
    if (this.host.hasEvents()) return null;
    if (this.host.alarmNs === Infinity) throw new Error('fake platform: no guest will stop, nothing is watched and no alarm is set');
    this.host.nowNs = Math.max(this.host.nowNs, this.host.alarmNs);
    return null;
  }

  destroy(): void {
    this.#stops.length = 0;
  }

  /** Whether `wait` would return a thread at once. */
  get pendingStops(): number {
    return this.#stops.length;
  }

  // For threads.

  stopped(thread: FakeThread): void {
    this.#stops.push(thread);
  }

  forget(thread: FakeThread): void {
    const index = this.#stops.indexOf(thread);
    if (index >= 0) this.#stops.splice(index, 1);
  }
}
