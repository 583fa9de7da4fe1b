/**
 * What the network helper of `--net=user` may ask of the host, in all its threads: internet sockets, its one socket to the sentry, and what Node needs to stay
 * alive. There is no call that opens a file, and none that makes a process or a thread. Files were read, and ports to listen on opened, before.
 *
 * A call outside of the list fails with EPERM instead of killing: Node and the C library try calls whose failure they take well.
 */
import type { Filter, Rule } from './assembler.ts';
import { NODE_RULES } from './node-rules.ts';

const AF_INET = 2;
const AF_INET6 = 10;
/** SOCK_STREAM and SOCK_DGRAM, both with SOCK_NONBLOCK and SOCK_CLOEXEC: no raw sockets. */
const STREAM = 0x80801;
const DATAGRAM = 0x80802;
/** 0, ICMP (echo sockets), TCP, UDP, ICMPv6. */
const PROTOCOLS = [0, 1, 6, 17, 58];

/** SO_REUSEADDR, TCP_NODELAY; SO_REUSEPORT; IPV6_V6ONLY. */
const OPTIONS = [1, 2, 15, 26];
/** SOL_SOCKET, TCP, IPv6. */
const LEVELS = [1, 6, 41];

const SOCKETS: readonly Rule[] = [
  {
    nr: 41,
    name: 'socket',
    reason: 'flows the policy allows, questions to the resolvers',
    when: [
      { argument: 0, lowOneOf: [AF_INET, AF_INET6] },
      { argument: 1, lowOneOf: [STREAM, DATAGRAM] },
      { argument: 2, lowOneOf: PROTOCOLS },
    ],
  },
  { nr: 42, name: 'connect', reason: 'flows the policy allows, questions to the resolvers' },
  { nr: 49, name: 'bind', reason: 'the peers of published UDP ports' },
  { nr: 288, name: 'accept4', reason: 'connections to published ports' },
  {
    nr: 54,
    name: 'setsockopt',
    reason: 'TCP_NODELAY, sharing a published port, the time limit for sending',
    when: [
      { argument: 1, lowOneOf: LEVELS },
      { argument: 2, lowOneOf: OPTIONS },
    ],
  },
  { nr: 44, name: 'sendto', reason: 'questions to the resolvers' },
  { nr: 45, name: 'recvfrom', reason: 'requests; datagrams of published ports' },
  { nr: 46, name: 'sendmsg', reason: 'replies, with the sockets they donate' },
  { nr: 3, name: 'close', reason: 'sockets that were given away' },
];

const WAITING: readonly Rule[] = [
  { nr: 271, name: 'ppoll', reason: 'the loop' },
  { nr: 7, name: 'poll', reason: 'the same, as the C library may do it' },
  { nr: 232, name: 'epoll_wait', reason: 'the loop' },
];

export const NETWORK_FILTER: Filter = { name: 'network', otherwise: 'eperm', rules: [...SOCKETS, ...WAITING, ...NODE_RULES] };
