/**
 * The system as a whole: uname(2), sysinfo(2), getrandom(2), host name, and the calls that are refused on purpose because they would reach
 * beyond the sandbox.
 */
import { EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import { PER_LINUX32, PER_MASK, UNAME26 } from '#sentry/abi/prctl.ts';
import { SysinfoLayout } from '#sentry/abi/resource.ts';
import { MEMBARRIER_CMD_QUERY } from '#sentry/abi/sched.ts';
import { GETRANDOM_MAX, GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM, Utsname, UTSNAME_MAX } from '#sentry/abi/system.ts';
import { shownMemory } from '../fs/proc/memory-figures.ts';
import { SCRATCH_SIZE } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { KERNEL_NAME, KERNEL_RELEASE, KERNEL_VERSION, MACHINE } from '#sentry/abi/version.ts';
import { CAP_SYS_ADMIN, capable } from '../vfs/credentials.ts';
import { addr, buffer, family, flags, full, i32, out, partial, refused, size, syscall, u32 } from './row.ts';
import type { Row } from './row.ts';

/** What UNAME26 makes of the release, for programs that cannot read a version beyond 2.6: 2.6.(60 + minor). */
const RELEASE_26 = KERNEL_RELEASE.replace(/^\d+\.(\d+)(\.\d+)?/, (_all, minor: string) => `2.6.${60 + Number(minor)}`);

function uname(task: Task, address: number): number {
  const { personality } = task;
  Utsname.encode(task.scratch.view, 0, {
    sysname: KERNEL_NAME,
    nodename: task.uts.nodename,
    release: (personality & UNAME26) !== 0 ? RELEASE_26 : KERNEL_RELEASE,
    version: KERNEL_VERSION,
    machine: (personality & PER_MASK) === PER_LINUX32 ? 'i686' : MACHINE,
    domainname: task.uts.domainname,
  });
  return task.memory.copyOut(address, task.scratch, 0, Utsname.size);
}

/** The name in guest memory, not terminated, or -errno. */
function readName(task: Task, address: number, length: number): string | number {
  if (!capable(task.credentials, CAP_SYS_ADMIN)) return -EPERM;
  if (length < 0 || length > UTSNAME_MAX) return -EINVAL;
  if (task.memory.copyIn(address, task.scratch, 0, length) < 0) return -EFAULT;
  const name = task.scratch.latin1(0, length);
  const end = name.indexOf('\0');
  return end < 0 ? name : name.slice(0, end);
}

function sethostname(task: Task, address: number, length: number): number {
  const name = readName(task, address, length);
  if (typeof name === 'number') return name;
  task.uts.nodename = name;
  return 0;
}

function setdomainname(task: Task, address: number, length: number): number {
  const name = readName(task, address, length);
  if (typeof name === 'number') return name;
  task.uts.domainname = name;
  return 0;
}

function sysinfo(task: Task, address: number): number {
  const { kernel, scratch } = task;
  const { totalBytes, freeBytes } = shownMemory(kernel, task.pids.memory);
  SysinfoLayout.encode(scratch.view, 0, {
    uptime: Math.floor((kernel.host.monotonicNs() - kernel.bootTimeNs) / 1e9),
    loads: [0, 0, 0],
    totalram: totalBytes,
    freeram: freeBytes,
    sharedram: 0,
    bufferram: 0,
    totalswap: 0,
    freeswap: 0,
    procs: Math.min(task.pids.tasks.size, 0xffff),
    totalhigh: 0,
    freehigh: 0,
    memUnit: 1,
  });
  return task.memory.copyOut(address, scratch, 0, SysinfoLayout.size);
}

function getrandom(task: Task, address: number, length: number, randomFlags: number): number {
  if ((randomFlags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) !== 0) return -EINVAL;
  if ((randomFlags & (GRND_RANDOM | GRND_INSECURE)) === (GRND_RANDOM | GRND_INSECURE)) return -EINVAL;
  const wanted = Math.min(length, GETRANDOM_MAX);
  let done = 0;
  while (done < wanted) {
    const piece = Math.min(wanted - done, SCRATCH_SIZE);
    task.kernel.host.random(task.scratch, 0, piece);
    const copied = task.memory.copyOutPartial(address + done, task.scratch, 0, piece);
    done += copied;
    if (copied < piece) break;
  }
  return done === 0 && wanted > 0 ? -EFAULT : done;
}

/** Guest threads move between CPUs as the host likes, and usually share the sentry's; the answer may be old when it arrives, as always. */
function getcpu(task: Task, cpu: number, node: number): number {
  const current = allowedCpu(task.scheduling.affinity, task.kernel.host.currentCpu?.() ?? 0);
  if (cpu !== 0 && task.memory.storeU32(cpu, current) < 0) return -EFAULT;
  return node === 0 ? 0 : task.memory.storeU32(node, 0);
}

/** `cpu`, or the first one of a mask that does not allow it: the mask is not enforced, but a guest that set it relies on it. */
function allowedCpu(affinity: readonly number[] | null, cpu: number): number {
  if (affinity === null || ((affinity[cpu >> 5] ?? 0) & (1 << (cpu & 31))) !== 0) return cpu;
  const index = affinity.findIndex((word) => word !== 0);
  const word = affinity[index]!;
  return 32 * index + 31 - Math.clz32(word & -word);
}

/** A call that always fails with `errno`, and why. */
function refuse(name: string, x64: number, arm64: number | null, errno: number, note: string): Row {
  return syscall({ name, nr: arm64 === null ? { x64 } : { x64, arm64 }, args: {}, support: refused(errno, note), run: () => -errno });
}

const NAMESPACES = 'namespaces other than UTS cannot be made or entered';
const MODULES = 'this kernel has no modules';
const HOST = 'would act on the host';
const HARDWARE = 'no access to hardware';
const IO_URING = 'calls made behind the back of the system call table';
const KEYS = 'no key management';
const NUMA = 'no NUMA';

const refusedRows: readonly Row[] = [
  refuse('unshare', 272, 97, EPERM, NAMESPACES),
  refuse('setns', 308, 268, EPERM, NAMESPACES),
  refuse('ptrace', 101, 117, EPERM, 'no tracing inside the sandbox'),
  refuse('bpf', 321, 280, EPERM, 'no programs in the kernel'),
  refuse('perf_event_open', 298, 241, EPERM, HARDWARE),
  refuse('io_uring_setup', 425, 425, ENOSYS, IO_URING),
  refuse('io_uring_enter', 426, 426, ENOSYS, IO_URING),
  refuse('io_uring_register', 427, 427, ENOSYS, IO_URING),
  refuse('kexec_load', 246, 104, EPERM, HOST),
  refuse('kexec_file_load', 320, 294, EPERM, HOST),
  refuse('reboot', 169, 142, EPERM, HOST),
  refuse('init_module', 175, 105, EPERM, MODULES),
  refuse('finit_module', 313, 273, EPERM, MODULES),
  refuse('delete_module', 176, 106, EPERM, MODULES),
  refuse('create_module', 174, null, ENOSYS, MODULES),
  refuse('get_kernel_syms', 177, null, ENOSYS, MODULES),
  refuse('query_module', 178, null, ENOSYS, MODULES),
  refuse('acct', 163, 89, EPERM, 'no process accounting'),
  refuse('swapon', 167, 224, EPERM, HOST),
  refuse('swapoff', 168, 225, EPERM, HOST),
  refuse('quotactl', 179, 60, EPERM, 'no quotas'),
  refuse('quotactl_fd', 443, 443, EPERM, 'no quotas'),
  refuse('syslog', 103, 116, EPERM, 'no kernel log'),
  refuse('iopl', 172, null, EPERM, HARDWARE),
  refuse('ioperm', 173, null, EPERM, HARDWARE),
  refuse('vhangup', 153, 58, EPERM, HOST),
  refuse('userfaultfd', 323, 282, EPERM, 'page faults are served by the host'),
  refuse('fanotify_init', 300, 262, EPERM, 'no fanotify'),
  refuse('fanotify_mark', 301, 263, EPERM, 'no fanotify'),
  refuse('add_key', 248, 217, ENOSYS, KEYS),
  refuse('request_key', 249, 218, ENOSYS, KEYS),
  refuse('keyctl', 250, 219, ENOSYS, KEYS),
  refuse('landlock_create_ruleset', 444, 444, EOPNOTSUPP, 'as a kernel with Landlock disabled'),
  refuse('landlock_add_rule', 445, 445, EOPNOTSUPP, 'as a kernel with Landlock disabled'),
  refuse('landlock_restrict_self', 446, 446, EOPNOTSUPP, 'as a kernel with Landlock disabled'),
  refuse('migrate_pages', 256, 238, ENOSYS, NUMA),
  refuse('move_pages', 279, 239, ENOSYS, NUMA),
  refuse('set_mempolicy_home_node', 450, 450, ENOSYS, NUMA),
  refuse('rseq', 334, 293, ENOSYS, 'guest threads migrate without the sentry knowing'),
  refuse('_sysctl', 156, null, ENOSYS, 'gone from Linux'),
  refuse('uselib', 134, null, ENOSYS, 'gone from Linux'),
  refuse('sysfs', 139, null, ENOSYS, 'gone from Linux'),
  refuse('lookup_dcookie', 212, 18, ENOSYS, 'gone from Linux'),
  refuse('nfsservctl', 180, 42, ENOSYS, 'gone from Linux'),
];

export const systemRows = family(
  syscall({ name: 'uname', nr: { x64: 63, arm64: 160 }, args: { buf: out(Utsname.size, 'utsname') }, support: full, run: uname }),
  syscall({
    name: 'sethostname',
    nr: { x64: 170, arm64: 161 },
    args: { name: buffer('in', 'length'), length: i32 },
    support: full,
    run: sethostname,
  }),
  syscall({
    name: 'setdomainname',
    nr: { x64: 171, arm64: 162 },
    args: { name: buffer('in', 'length'), length: i32 },
    support: full,
    run: setdomainname,
  }),
  syscall({
    name: 'sysinfo',
    nr: { x64: 99, arm64: 179 },
    args: { info: out(SysinfoLayout.size) },
    support: partial("memory is the sandbox's share, no load averages"),
    run: sysinfo,
  }),
  syscall({
    name: 'getrandom',
    nr: { x64: 318, arm64: 278 },
    args: { buf: buffer('out', 'count'), count: size, flags: flags({ GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE }) },
    support: full,
    run: getrandom,
  }),
  syscall({
    name: 'getcpu',
    nr: { x64: 309, arm64: 168 },
    args: { cpu: out(4), node: out(4), cache: addr },
    support: partial('the CPU of the sentry, which calling guests usually share'),
    run: getcpu,
  }),
  syscall({
    name: 'membarrier',
    nr: { x64: 324, arm64: 283 },
    args: { cmd: i32, flags: u32, cpu: i32 },
    support: partial('MEMBARRIER_CMD_QUERY, which tells that there is no other command'),
    run: (_task, command, barrierFlags) => (command === MEMBARRIER_CMD_QUERY && barrierFlags === 0 ? 0 : -EINVAL),
  }),
  ...refusedRows,
);
