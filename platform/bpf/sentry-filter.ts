/**
 * What the sentry may ask of the host from the first guest instruction on, in all its threads: input and output on descriptors it already
 * has, anonymous memory and files, the control of its own tracees, and what Node needs to stay alive.
 *
 * There is no call that takes a path, none that makes a process, a thread or a socket, and of ptrace only the requests for threads that are
 * traced already: new guest processes are cloned by the guests' own processes, which are attached by that very clone. A call outside of
 * the list fails with EPERM instead of killing: Node and the C library try calls whose failure they take well.
 *
 * The list is the platform's README table "host system calls after start-up" as data; a new host call in `platform/host` needs a rule here.
 */
import type { Filter, Rule } from './assembler.ts';
import { NODE_RULES } from './node-rules.ts';

/** The one of platform/seccomp. */
const INTERRUPT_SIGNAL = 30;
const SIGABRT = 6;
const SIGKILL = 9;
const SIGSTOP = 19;
const SIGTSTP = 20;

/** Requests of ptrace: PEEKUSER, POKEUSER, CONT, GETREGS, SETREGS, SYSEMU, GETSIGINFO, GETREGSET, SETREGSET, INTERRUPT, GET_SYSCALL_INFO. */
const TRACE_REQUESTS = [3, 6, 7, 12, 13, 31, 0x4202, 0x4204, 0x4205, 0x4207, 0x420e];

/** Terminal attributes, window size, foreground group, bytes waiting, flush, break, flow: never TIOCSTI or TIOCLINUX. */
const TERMINAL_REQUESTS = [
  0x5401, 0x5402, 0x5403, 0x5404, 0x5409, 0x540a, 0x540b, 0x540f, 0x5410, 0x5411, 0x5413, 0x5414, 0x541b, 0x802c_542a, 0x402c_542b,
  0x402c_542c, 0x402c_542d,
];

/** F_DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC, ADD_SEALS, GET_SEALS. */
const FCNTL_COMMANDS = [0, 1, 2, 3, 4, 1030, 1033, 1034];

/** No MSG_FASTOPEN, which connects. */
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;
const SIOCATMARK = 0x8905;

const PR_SET_NAME = 15;
const PR_SET_VMA = 0x5356_4d41;

/** NOTIF_RECV, NOTIF_SEND, NOTIF_SET_FLAGS. */
const LISTENER_REQUESTS = [0xc050_2100, 0xc018_2101, 0x4008_2104];

const TRACING: readonly Rule[] = [
  { nr: 101, name: 'ptrace', reason: 'guest threads, all of them attached already', when: [{ argument: 0, oneOf: TRACE_REQUESTS }] },
];

const NOTIFYING: readonly Rule[] = [
  { nr: 16, name: 'ioctl', reason: "calls of guests, from their filter's listener", when: [{ argument: 1, lowOneOf: LISTENER_REQUESTS }] },
  { nr: 234, name: 'tgkill', reason: 'interrupts a guest thread', when: [{ argument: 2, lowOneOf: [INTERRUPT_SIGNAL] }] },
];

const GUESTS: readonly Rule[] = [
  { nr: 61, name: 'wait4', reason: 'stops and ends of guest threads' },
  {
    nr: 62,
    name: 'kill',
    reason: 'ends guest processes; stops the sandbox itself on behalf of the terminal',
    when: [{ argument: 1, lowOneOf: [SIGKILL, SIGSTOP, SIGTSTP] }],
  },
  { nr: 310, name: 'process_vm_readv', reason: 'guest memory' },
  { nr: 311, name: 'process_vm_writev', reason: 'guest memory' },
  { nr: 203, name: 'sched_setaffinity', reason: 'sentry and guest on one CPU, or apart' },
];

const FILES: readonly Rule[] = [
  { nr: 17, name: 'pread64', reason: 'donated files, memfds' },
  { nr: 18, name: 'pwrite64', reason: 'donated files, memfds' },
  { nr: 328, name: 'pwritev2', reason: 'appending to donated files' },
  { nr: 19, name: 'readv', reason: 'Node reads with it' },
  { nr: 20, name: 'writev', reason: 'Node writes with it' },
  { nr: 3, name: 'close', reason: 'descriptors given up' },
  { nr: 5, name: 'fstat', reason: 'attributes of donated files' },
  { nr: 8, name: 'lseek', reason: 'holes of files; positions of donated streams' },
  { nr: 74, name: 'fsync', reason: 'fsync of a guest' },
  { nr: 75, name: 'fdatasync', reason: 'fdatasync of a guest' },
  { nr: 77, name: 'ftruncate', reason: 'length of memfds and donated files' },
  { nr: 285, name: 'fallocate', reason: 'space and holes of memfds and donated files' },
  { nr: 326, name: 'copy_file_range', reason: 'copy-up and copy_file_range of a guest' },
  { nr: 319, name: 'memfd_create', reason: 'contents of tmpfs files, shared memory' },
  { nr: 16, name: 'ioctl', reason: 'the terminal of the sandbox', when: [{ argument: 1, lowOneOf: TERMINAL_REQUESTS }] },
  { nr: 72, name: 'fcntl', reason: 'flags of donated descriptors', when: [{ argument: 1, lowOneOf: FCNTL_COMMANDS }] },
];

const EVENTS: readonly Rule[] = [
  { nr: 7, name: 'poll', reason: 'readiness of one descriptor' },
  { nr: 271, name: 'ppoll', reason: 'waiting while no guest runs' },
  { nr: 232, name: 'epoll_wait', reason: 'host events' },
  { nr: 286, name: 'timerfd_settime', reason: 'the alarm' },
  { nr: 290, name: 'eventfd2', reason: 'counters of the sentry' },
  { nr: 293, name: 'pipe2', reason: 'pipes of the sentry' },
  {
    nr: 44,
    name: 'sendto',
    reason:
      'messages to the gofer and the network helper; never to an address: donated sockets reach the peer they were connected to, and nobody else',
    when: [
      { argument: 3, oneOf: [MSG_NOSIGNAL] },
      { argument: 4, oneOf: [0] },
    ],
  },
  { nr: 47, name: 'recvmsg', reason: 'messages from the gofer with the descriptors they donate, and from the verbs of a container' },
  { nr: 288, name: 'accept4', reason: 'verbs of a container: the only listening socket is its control socket' },
];

/** Sockets that the network helper donated. */
const SOCKETS: readonly Rule[] = [
  { nr: 16, name: 'ioctl', reason: 'whether a reader is at the urgent mark', when: [{ argument: 1, lowOneOf: [SIOCATMARK] }] },
  { nr: 48, name: 'shutdown', reason: 'a guest that has sent all it had to' },
  {
    nr: 55,
    name: 'getsockopt',
    reason: 'how connecting went',
    when: [
      { argument: 1, lowOneOf: [SOL_SOCKET] },
      { argument: 2, lowOneOf: [SO_ERROR] },
    ],
  },
  {
    nr: 54,
    name: 'setsockopt',
    reason: 'a reset instead of a leave',
    when: [
      { argument: 1, lowOneOf: [SOL_SOCKET] },
      { argument: 2, lowOneOf: [SO_LINGER] },
    ],
  },
];

const PROCESS: readonly Rule[] = [
  { nr: 234, name: 'tgkill', reason: 'abort of the sandbox when an assertion fails', when: [{ argument: 2, lowOneOf: [SIGABRT] }] },
  { nr: 157, name: 'prctl', reason: 'names of threads and mappings', when: [{ argument: 0, lowOneOf: [PR_SET_NAME, PR_SET_VMA] }] },
  { nr: 98, name: 'getrusage', reason: 'memory and CPU use of the sandbox' },
  { nr: 99, name: 'sysinfo', reason: 'V8 asks for the size of memory' },
  { nr: 309, name: 'getcpu', reason: 'hosts whose vDSO cannot tell the CPU' },
  { nr: 96, name: 'gettimeofday', reason: 'hosts whose vDSO cannot tell the time' },
  { nr: 35, name: 'nanosleep', reason: 'delays of the C library' },
  { nr: 110, name: 'getppid', reason: 'whether the launcher still lives' },
];

/** By the way guests are run. */
const INTERCEPTION: Readonly<Record<string, readonly Rule[]>> = { ptrace: TRACING, seccomp: NOTIFYING };

/** `platform`: the name of the platform that runs the guests. */
export function sentryFilter(platform: string): Filter {
  return {
    name: 'sentry',
    otherwise: 'eperm',
    rules: [...(INTERCEPTION[platform] ?? []), ...GUESTS, ...FILES, ...EVENTS, ...SOCKETS, ...PROCESS, ...NODE_RULES],
  };
}
