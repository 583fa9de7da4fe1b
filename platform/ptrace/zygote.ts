/**
 * The zygote: the first stub process, from which every clean address space is forked.
 *
 * It is cloned from the sentry instead of being executed from a file, because only a clone keeps the sentry's descriptor table
 * (execve unshares it), and with one table a stub can map a donated descriptor by its number. A copied address space is the price;
 * it is emptied before anything else happens:
 *
 *   clone → (machine code: die with the parent, sleep) → seize → rseq off, signals blocked, own session, no capabilities,
 *   no_new_privs → stub page and vDSO moved to their places → everything else unmapped → bell forked → filter installed.
 *
 * All steps after the seize are injected calls, so they read as a list. Specification: clone(2), ptrace(2), mremap(2), seccomp(2).
 */
import { BELL_FILTER } from '../bpf/bell-filter.ts';
import { stubFilter } from '../bpf/stub-filter.ts';
import { assembleFilter } from '../bpf/assembler.ts';
import { HostError, PlatformUnavailable } from '../host/errors.ts';
import type { LinuxHost } from '../host/host.ts';
import { ptraceRefusal } from '../host/proc.ts';
import type { Mapping } from '../host/proc.ts';
import * as process from '../host/process.ts';
import { allocateMemory } from '../host/memory.ts';
import { callCloningCode, mapCode } from '../host/routine.ts';
import { FORK_FLAGS, SPAWN_FLAGS, ZYGOTE_FLAGS } from '../stub/clone-flags.ts';
import { GUEST_END, PAGE_SIZE, STUB_BASE, TASK_END, VDSO_BASE } from '../stub/layout.ts';
import type { VdsoPlace } from '../stub/layout.ts';
import type { StubCode } from '../stub/stub-code.ts';
import * as nr from '../stub/host-syscalls.ts';
import * as reg from './registers.ts';
import { Tracee } from './tracee.ts';
import { resetExtendedState } from './xstate.ts';

const PTRACE_O_TRACESYSGOOD = 1;
const PTRACE_O_EXITKILL = 0x10_0000;
const PR_SET_DUMPABLE = 4;
const PR_SET_NAME = 15;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const RSEQ_FLAG_UNREGISTER = 1;
const PROT_READ_WRITE = 3;
const POLLIN = 1;
const EPERM = 1;
/** Used for a moment while the zygote is set up; guests start with nothing there. */
const SCRATCH_BASE = 0x1000_0000;

export class Zygote extends Tracee {
  vdso: VdsoPlace | null = null;
  readonly #stub: StubCode;

  constructor(pid: number, stub: StubCode, injectAddress: number) {
    super(pid, injectAddress);
    this.#stub = stub;
  }

  /** An injected call that must succeed. */
  must(operation: string, number: number, ...args: readonly number[]): number {
    const [a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0] = args;
    const result = this.inject(number, a0, a1, a2, a3, a4, a5);
    if (result < 0) throw new HostError(`zygote: ${operation}`, -result);
    return result;
  }

  /** Cuts the process loose from what it inherited from Node. */
  detach(): void {
    this.#unregisterRseq();
    this.#blockSignals();
    this.must('setsid', nr.SYS_SETSID);
    this.must('no_new_privs', nr.SYS_PRCTL, PR_SET_NO_NEW_PRIVS, 1);
    const capabilities = this.injectAddress - this.#stub.inject + this.#stub.noCapabilities;
    this.must('capset', nr.SYS_CAPSET, capabilities, capabilities + 8);
    // The sentry may have changed its user; process_vm_readv needs a dumpable process.
    this.must('set dumpable', nr.SYS_PRCTL, PR_SET_DUMPABLE, 1);
    this.must('set name', nr.SYS_PRCTL, PR_SET_NAME, this.injectAddress - this.#stub.inject + this.#stub.processName);
  }

  /** Leaves only the stub page and the vDSO mapped. `spare` is the address of a second copy of the stub page. */
  emptyAddressSpace(spare: number, vdso: readonly Mapping[]): void {
    this.vdso = this.#moveVdso(vdso);
    this.must('move stub', nr.SYS_MREMAP, spare, PAGE_SIZE, PAGE_SIZE, nr.MREMAP_MAYMOVE | nr.MREMAP_FIXED, STUB_BASE);
    this.injectAddress = STUB_BASE + this.#stub.inject;
    const kept = [{ start: STUB_BASE, end: STUB_BASE + PAGE_SIZE }];
    if (this.vdso !== null) kept.push({ start: this.vdso.vvar.start, end: this.vdso.code.end });
    kept.sort((a, b) => a.start - b.start);
    let from = 0;
    for (const range of [...kept, { start: TASK_END, end: TASK_END }]) {
      if (range.start > from) this.must('munmap', nr.SYS_MUNMAP, from, range.start - from);
      from = range.end;
    }
  }

  /** A clean set of registers: what a new address space's first thread starts with. */
  clearRegisters(): void {
    const registers = this.fetchRegisters();
    const keep = [reg.CS, reg.SS];
    for (let i = 0; i < reg.REGISTER_WORDS; i += 2) {
      if (keep.includes(i)) continue;
      registers[i] = 0;
      registers[i + 1] = 0;
    }
    registers[reg.EFLAGS] = 0x202;
    this.dirty = true;
  }

  /** Forks the process of the bell, stopped with rsp at its pollfd. */
  forkBell(epollFd: number, bellRoutine: number): Tracee {
    const bell = new Bell(this.fork(), this.injectAddress);
    if (!bell.awaitStop()) throw new HostError('bell: clone', EPERM);
    bell.prepare(this, epollFd, bellRoutine);
    return bell;
  }

  fork(): number {
    return this.must('clone', nr.SYS_CLONE, FORK_FLAGS);
  }

  /** Installs a seccomp filter; from then on only what it allows can be injected. */
  installFilter(program: Uint8Array): void {
    installFilter(this, program);
  }

  /** glibc registered an area of Node's main thread, to which the host would go on writing. */
  #unregisterRseq(): void {
    const page = allocateMemory(PAGE_SIZE);
    // struct ptrace_rseq_configuration: pointer, size, signature, flags, pad (24 bytes).
    const size = process.trace(process.PTRACE_GET_RSEQ_CONFIGURATION, this.tid, 24, page.address);
    if (size < 0) return; // a host without rseq has nothing to unregister
    const view = page.view;
    const address = view.getUint32(0, true) + view.getUint32(4, true) * 0x1_0000_0000;
    if (address === 0) return;
    this.must('rseq', nr.SYS_RSEQ, address, view.getUint32(8, true), RSEQ_FLAG_UNREGISTER, view.getUint32(12, true));
  }

  /** Signals from outside then stay pending instead of stopping the thread. Faults stop it all the same. */
  #blockSignals(): void {
    const page = allocateMemory(PAGE_SIZE);
    page.bytes.fill(0xff, 0, 8);
    process.trace(process.PTRACE_SETSIGMASK, this.tid, 8, page.address);
  }

  /** Moves the vDSO to its place above the guest. A host that seals it leaves it where it is. */
  #moveVdso(parts: readonly Mapping[]): VdsoPlace | null {
    const code = parts.find((m) => m.name === '[vdso]');
    const first = parts[0];
    if (code === undefined || first === undefined) return null;
    const moved = (base: number): VdsoPlace => ({
      vvar: { start: base, end: base + code.start - first.start },
      code: { start: base + code.start - first.start, end: base + code.end - first.start },
    });
    let from = first.start;
    // A move must not overlap its source; some hosts place the vDSO just where ours goes.
    const hops = code.end > GUEST_END ? [SCRATCH_BASE, VDSO_BASE] : [VDSO_BASE];
    for (const to of hops) {
      for (const part of parts) {
        const length = part.end - part.start;
        const offset = part.start - first.start;
        const flags = nr.MREMAP_MAYMOVE | nr.MREMAP_FIXED;
        const result = this.inject(nr.SYS_MREMAP, from + offset, length, length, flags, to + offset, 0);
        if (result < 0 && part === first) return moved(from);
        if (result < 0) throw new HostError('zygote: move vdso', -result);
      }
      from = to;
    }
    return moved(VDSO_BASE);
  }
}

class Bell extends Tracee {
  prepare(zygote: Zygote, epollFd: number, routine: number): void {
    this.copyRegisters(zygote);
    const flags = nr.MAP_PRIVATE | nr.MAP_ANONYMOUS | nr.MAP_FIXED;
    const base = this.inject(nr.SYS_MMAP, SCRATCH_BASE, PAGE_SIZE, PROT_READ_WRITE, flags, -1, 0);
    if (base < 0) throw new HostError('bell: mmap', -base);
    const page = allocateMemory(PAGE_SIZE);
    page.view.setInt32(0, epollFd, true); // struct pollfd
    page.view.setInt16(4, POLLIN, true);
    if (process.writeRemote(this.tid, SCRATCH_BASE, page, 0, 8) !== 8) throw new HostError('bell: write', EPERM);
    installFilter(this, assembleFilter(BELL_FILTER));
    const registers = this.fetchRegisters();
    reg.setWord(registers, reg.RIP, routine);
    reg.setWord(registers, reg.RSP, SCRATCH_BASE);
    this.storeRegisters();
  }
}

/** Installs `program` in a stopped tracee through a page that exists only for this. */
function installFilter(tracee: Tracee, program: Uint8Array): void {
  const base = SCRATCH_BASE + 16 * PAGE_SIZE;
  const size = Math.ceil((program.length + 16) / PAGE_SIZE) * PAGE_SIZE;
  const flags = nr.MAP_PRIVATE | nr.MAP_ANONYMOUS | nr.MAP_FIXED;
  const mapped = tracee.inject(nr.SYS_MMAP, base, size, PROT_READ_WRITE, flags, -1, 0);
  if (mapped < 0) throw new HostError('filter: mmap', -mapped);
  const page = allocateMemory(size);
  // struct sock_fprog: length in instructions, address.
  page.view.setUint16(0, program.length / 8, true);
  page.view.setUint32(8, base + 16, true);
  page.bytes.set(program, 16);
  if (process.writeRemote(tracee.tid, base, page, 0, program.length + 16) < 0) throw new HostError('filter: write', EPERM);
  const unmapped = tracee.inject(nr.SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, 0, base, 0, 0, 0);
  if (unmapped < 0) throw new HostError('filter: seccomp', -unmapped);
  tracee.inject(nr.SYS_MUNMAP, base, size, 0, 0, 0, 0);
}

export interface FirstProcesses {
  readonly zygote: Zygote;
  readonly bell: Tracee;
}

/** Creates the zygote and the bell. Throws PlatformUnavailable when the host does not let us trace. */
export function createFirstProcesses(host: LinuxHost, stub: StubCode): FirstProcesses {
  const code = mapCode(stub.bytes, 2);
  const pid = callCloningCode(code + stub.spawn, ZYGOTE_FLAGS, process.ownPid(), {
    spared: host.facts.heap,
    needed: [{ address: code, length: 2 * PAGE_SIZE }],
  });
  const zygote = new Zygote(pid, stub, code + stub.inject);
  try {
    seize(zygote, host.facts.ptraceScope);
    zygote.detach();
    zygote.emptyAddressSpace(code + PAGE_SIZE, host.facts.vdso);
    zygote.clearRegisters();
    resetExtendedState(pid);
    const bell = zygote.forkBell(host.events.epollFd, STUB_BASE + stub.bell);
    zygote.installFilter(assembleFilter(stubFilter(GUEST_END, [FORK_FLAGS, SPAWN_FLAGS])));
    return { zygote, bell };
  } catch (error) {
    process.kill(pid, process.SIGKILL);
    process.wait(pid, process.WALL);
    throw error;
  }
}

function seize(zygote: Zygote, ptraceScope: number | null): void {
  const result = process.trace(process.PTRACE_SEIZE, zygote.tid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  if (result < 0) throw new PlatformUnavailable(ptraceRefusal(-result, ptraceScope), -result);
  process.trace(process.PTRACE_INTERRUPT, zygote.tid, 0, 0);
  if (!zygote.awaitStop()) throw new PlatformUnavailable('the first guest process died at once; see the host kernel log', EPERM);
}
