/**
 * What the network helper of `--net=host` may ask of the host, in all its threads: internet sockets and everything about them that names an address or an
 * option, its one socket to the sentry, and what Node needs to stay alive. There is no call that opens a file, and none that makes a process or a thread.
 *
 * A call outside of the list fails with EPERM instead of killing: Node and the C library try calls whose failure they take well.
 */
import { PASSED_OPTIONS } from '#sentry/abi/passed-options.ts';
import type { Filter, Rule } from './assembler.ts';
import { NODE_RULES } from './node-rules.ts';

const AF_INET = 2;
const AF_INET6 = 10;
/** SOCK_STREAM and SOCK_DGRAM, both with SOCK_NONBLOCK and SOCK_CLOEXEC: no raw sockets. */
const STREAM = 0x80801;
const DATAGRAM = 0x80802;

/** One rule for each level. */
const OPTIONS: readonly Rule[] = PASSED_OPTIONS.flatMap(({ level, set, readOnly }) => [
  {
    nr: 54,
    name: 'setsockopt',
    reason: 'options that a guest sets',
    when: [
      { argument: 1, lowOneOf: [level] },
      { argument: 2, lowOneOf: [...set] },
    ],
  },
  {
    nr: 55,
    name: 'getsockopt',
    reason: 'options that a guest reads',
    when: [
      { argument: 1, lowOneOf: [level] },
      { argument: 2, lowOneOf: [...set, ...readOnly] },
    ],
  },
]);

const SOCKETS: readonly Rule[] = [
  {
    nr: 41,
    name: 'socket',
    reason: 'a socket of a guest',
    when: [
      { argument: 0, lowOneOf: [AF_INET, AF_INET6] },
      { argument: 1, lowOneOf: [STREAM, DATAGRAM] },
      { argument: 2, lowOneOf: [0] },
    ],
  },
  { nr: 42, name: 'connect', reason: 'connect of a guest' },
  { nr: 49, name: 'bind', reason: 'bind of a guest' },
  { nr: 50, name: 'listen', reason: 'listen of a guest' },
  { nr: 288, name: 'accept4', reason: 'accept of a guest' },
  { nr: 51, name: 'getsockname', reason: 'getsockname of a guest' },
  { nr: 52, name: 'getpeername', reason: 'getpeername of a guest' },
  { nr: 44, name: 'sendto', reason: 'datagrams to an address, and data with flags' },
  { nr: 45, name: 'recvfrom', reason: 'requests' },
  { nr: 46, name: 'sendmsg', reason: 'replies, with the sockets they donate' },
  { nr: 3, name: 'close', reason: 'sockets that a guest closed' },
];

export const HOST_NETWORK_FILTER: Filter = { name: 'host network', otherwise: 'eperm', rules: [...SOCKETS, ...OPTIONS, ...NODE_RULES] };
