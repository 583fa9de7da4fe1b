/**
 * execve(2): replaces a process's program (fs/exec.c).
 *
 * The new program is loaded into a fresh address space first, so an error while loading leaves the old program as it was. Only then do the
 * other threads end, the task takes the new host thread, and the old space is given up.
 */
import { EAGAIN, ELIBBAD, ELOOP, ENOEXEC } from '#sentry/abi/errno.ts';
import { S_ISGID, S_ISUID, MS_NOSUID } from '#sentry/abi/fs.ts';
import { UNMAPPED_ID } from '#sentry/abi/stat.ts';
import { ADDR_NO_RANDOMIZE, PER_CLEAR_ON_SETID, READ_IMPLIES_EXEC } from '#sentry/abi/prctl.ts';
import { RLIMIT_STACK } from '#sentry/abi/resource.ts';
import { SIGCHLD } from '#sentry/abi/signal.ts';
import { EFLAGS_IF, Reg, USER_CS, USER_SS, setReg } from '#sentry/abi/x64/registers.ts';
import type { GuestThread } from '#platform/contract/platform.ts';
import { AddressSpace } from '../../mm/address-space.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { clearChildTid, endSiblings, finishVfork } from '../exit.ts';
import { unshareFiles } from '../fd-table.ts';
import { exitRobustList } from '../futex/exit.ts';
import type { Task } from '../task.ts';
import { credentialsAfterExec } from './exec-credentials.ts';
import type { FilePrivileges } from './exec-credentials.ts';
import { fileCapabilities } from './file-capabilities.ts';
import { openExecutable } from './open-executable.ts';
import { load } from './load.ts';
import type { Executable, Program } from './load.ts';

/** Interpreters of interpreters (Linux: BINPRM recursion limit). */
const SCRIPT_DEPTH_MAX = 5;
/** Bytes of comm without its terminator. */
const NAME_LENGTH = 15;

export interface ExecRequest {
  /** Opened for execution; a reference that `execve` gives up. */
  readonly file: FileDescription;
  /** As the caller named it: AT_EXECFN, and what a script's interpreter gets. */
  readonly path: string;
  readonly args: readonly string[];
  readonly environment: readonly string[];
}

/** Loads the program into `task`. 0, or -errno with the old program intact. On success all registers are set. */
export function execve(task: Task, request: ExecRequest): number {
  const resolved = followScripts(task, request);
  if (typeof resolved === 'number') return resolved;
  const result = replaceProgram(task, resolved);
  resolved.program.file.release();
  resolved.interpreter?.file.release();
  return result;
}

interface Resolved {
  readonly path: string;
  readonly args: readonly string[];
  readonly environment: readonly string[];
  readonly program: Executable;
  readonly interpreter: Executable | null;
}

/** Follows `#!` lines to an ELF file, and opens its program interpreter. */
function followScripts(task: Task, request: ExecRequest): Resolved | number {
  const { path, environment } = request;
  let { file, args } = request;
  let name = path;
  for (let depth = 0; ; depth++) {
    const binary = task.kernel.knownBinaries.identify(file, task.scratch, task);
    if (typeof binary !== 'number' && binary.kind === 'elf') {
      const interpreter = binary.interpreter === null ? null : openInterpreter(task, binary.interpreter);
      if (typeof interpreter !== 'number') return { path, args, environment, program: { file, image: binary }, interpreter };
      file.release();
      return interpreter;
    }
    file.release();
    if (typeof binary === 'number') return binary;
    if (depth >= SCRIPT_DEPTH_MAX) return -ELOOP;
    args = [binary.interpreter, ...(binary.argument === null ? [] : [binary.argument]), name, ...args.slice(1)];
    name = binary.interpreter;
    const next = openExecutable(task, null, name, 0);
    if (typeof next === 'number') return next;
    file = next;
  }
}

function openInterpreter(task: Task, path: string): Executable | number {
  const file = openExecutable(task, null, path, 0);
  if (typeof file === 'number') return file;
  const image = task.kernel.knownBinaries.identify(file, task.scratch, task);
  if (typeof image !== 'number' && image.kind === 'elf') return { file, image };
  file.release();
  return typeof image !== 'number' || image === -ENOEXEC ? -ELIBBAD : image;
}

function replaceProgram(task: Task, resolved: Resolved): number {
  const { kernel } = task;
  const change = credentialsAfterExec(task.credentials, privilegesOf(resolved.program.file));
  if (typeof change === 'number') return change;
  // The program says itself whether its stack is executable.
  const personality = task.personality & ~(change.secure ? PER_CLEAR_ON_SETID : READ_IMPLIES_EXEC);
  const thread = cleanThread(task);
  if (typeof thread === 'number') return thread === 0 ? -EAGAIN : thread;
  const isFirst = thread === task.thread;
  const mm = isFirst ? task.mm : new AddressSpace(thread.space, kernel.platform.limits, kernel.cell, task.container.memoryBudget);
  const program = load({
    kernel,
    thread,
    mm,
    program: resolved.program,
    interpreter: resolved.interpreter,
    path: resolved.path,
    args: resolved.args,
    environment: resolved.environment,
    credentials: change.credentials,
    secure: change.secure,
    stackLimit: task.group.limits.soft(RLIMIT_STACK),
    randomize: (personality & ADDR_NO_RANDOMIZE) === 0,
  });
  if (typeof program === 'number') {
    if (!isFirst) mm.release();
    return program;
  }
  endSiblings(task);
  becomeLeader(task);
  if (!isFirst) adoptSpace(task, thread, mm);
  resetState(task, change.credentials, resolved);
  task.personality = personality >>> 0;
  setEntryRegisters(thread, program);
  return 0;
}

/** The thread of a clean address space: a new one, or that of a process which has not had a program yet (init). */
function cleanThread({ kernel, mm, thread }: Task): GuestThread | number {
  return mm.executable === null ? thread : kernel.platform.createSpace();
}

/** The set-user-ID, set-group-ID and capabilities of the file, where its mount allows. */
function privilegesOf(file: FileDescription): FilePrivileges {
  const { inode } = file;
  const { mode, uid, gid } = inode;
  if (file.mount !== null && (file.mount.flags & MS_NOSUID) !== 0) return NO_PRIVILEGES;
  const capabilities = fileCapabilities(inode);
  // Linux: neither id counts when one of them means nobody here.
  if (uid === UNMAPPED_ID || gid === UNMAPPED_ID) return { uid: null, gid: null, capabilities };
  const setsGroup = (mode & S_ISGID) !== 0 && (mode & 0o010) !== 0;
  return { uid: (mode & S_ISUID) !== 0 ? uid : null, gid: setsGroup ? gid : null, capabilities };
}

const NO_PRIVILEGES: FilePrivileges = { uid: null, gid: null, capabilities: null };

/** A thread that execs takes over its leader's identity (de_thread). */
function becomeLeader(task: Task): void {
  const { group, container } = task;
  const old = group.leader;
  if (old === task) return;
  container.leave(task);
  container.leave(old);
  group.tasks.delete(old);
  task.tid = group.pid;
  container.enter(task);
  group.leader = task;
}

function adoptSpace(task: Task, thread: GuestThread, mm: AddressSpace): void {
  const oldThread = task.thread;
  const oldMm = task.mm;
  exitRobustList(task);
  task.group.cpu.stop();
  task.group.cpu.start(thread.space);
  clearChildTid(task);
  task.thread = thread;
  if (task.scheduling.affinity !== null) thread.setAffinity(task.scheduling.affinity);
  thread.owner = task;
  oldThread.owner = null;
  task.mm = mm;
  mm.areas.owner = task.pids.global(task.group.pid);
  if (!oldMm.release()) oldThread.release();
}

function resetState(task: Task, credentials: Credentials, { path }: Resolved): void {
  finishVfork(task);
  task.robustList = 0;
  task.restartCall = null;
  const idsChanged = credentials.euid !== task.credentials.euid || credentials.egid !== task.credentials.egid;
  task.mm.dumpable = idsChanged || credentials.euid !== credentials.uid ? 0 : 1;
  if (idsChanged) task.parentDeathSignal = 0;
  task.credentials = credentials;
  task.name = path.slice(path.lastIndexOf('/') + 1).slice(0, NAME_LENGTH);
  task.group.hasExeced = true;
  task.exitSignal = SIGCHLD;
  ownHandlers(task);
  task.signals.resetForExec();
  unshareFiles(task);
  task.files.closeOnExec();
}

function ownHandlers({ group }: Task): void {
  if (group.handlers.isShared) {
    const shared = group.handlers;
    group.handlers = shared.fork();
    shared.release();
  }
  group.handlers.resetForExec();
}

/** Registers as the ABI promises a new program: all zero but stack and instruction pointer. The extended state of a new space is initial. */
function setEntryRegisters(thread: GuestThread, { entry, stackPointer }: Program): void {
  const registers = thread.registers();
  registers.fill(0);
  setReg(registers, Reg.rip, entry);
  setReg(registers, Reg.rsp, stackPointer);
  setReg(registers, Reg.cs, USER_CS);
  setReg(registers, Reg.ss, USER_SS);
  setReg(registers, Reg.eflags, EFLAGS_IF);
  // orig_rax -1: not in a system call, nothing to restart.
  registers[Reg.origRax] = 0xffff_ffff;
  registers[Reg.origRax + 1] = 0xffff_ffff;
  thread.registersChanged();
}
