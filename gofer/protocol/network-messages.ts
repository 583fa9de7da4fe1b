/**
 * The messages between the sentry (client) and the network helper (gofer/network), over one SOCK_SEQPACKET socket. Framing, header and codec are
 * the gofer's (messages.ts), but nobody waits: replies come when they are ready, in any order, told apart by the request's tag.
 *
 *     helper → client   Hello                                     once, before anything else
 *     client → helper   header, body of `request`                 at most REQUESTS_MAX that are not answered yet
 *     helper → client   header, errno, body of `reply` if errno is 0; perhaps a descriptor (SCM_RIGHTS)
 *     helper → client   Arrival with a descriptor                 unasked: somebody came to a published port
 *
 * Who asks (`pid`, `command`) is for the report only: nothing is decided by it.
 */
import { list, record, text, u16, u32 } from './codec.ts';
import type { WireField } from './codec.ts';
import { REPORT_LINE_MAX, REPORT_LINES_MAX } from './limits.ts';
import type { Message } from './messages.ts';

export const NETWORK_PROTOCOL_VERSION = 1;

/** Requests a client may have under way. Together they fit the socket's buffer, so that sending one never waits. */
export const REQUESTS_MAX = 64;
/** Longest question, of which only a name is of any use, and longest answer passed on to a guest. */
export const DNS_QUESTION_MAX = 1_024;
export const DNS_ANSWER_MAX = 32_768;
/** Longest name a flow may claim. */
export const CLAIM_MAX = 255;
/** Longest datagram that came to a published port. */
export const DATAGRAM_MAX = 57_344;
const COMMAND_MAX = 16;

function message<Q, P>(type: number, name: string, request: WireField<Q>, reply: WireField<P>): Message<Q, P> {
  return { type, name, request, reply };
}

const nothing = record({});
/** An address as four words in network order; IPv4 mapped. */
const address = record({ w0: u32, w1: u32, w2: u32, w3: u32 });
const asker = record({ pid: u32, command: text(COMMAND_MAX) });

/** `problem`: why it cannot serve, a sentence for the user; empty when it does. */
export const NetworkHello = message(
  0,
  'hello',
  nothing,
  record({ version: u32, problem: text(REPORT_LINE_MAX), report: list(text(REPORT_LINE_MAX), REPORT_LINES_MAX) }),
);

/**
 * A socket connected, or on its way, to an address: TCP, UDP, or ICMP echo (port 0). EACCES: the policy does not allow it. `isByName` 1: it may carry
 * only what claims one of its names (`Claim`).
 */
export const OpenFlow = message(1, 'open-flow', record({ protocol: u16, address, port: u16, asker }), record({ isByName: u16 }));

/** A DNS message of a guest and the answer to it. `isStream` 1: it came by TCP. No reply to what is no question. */
export const Resolve = message(
  2,
  'resolve',
  record({ isStream: u16, question: text(DNS_QUESTION_MAX), asker }),
  record({ answer: text(DNS_ANSWER_MAX) }),
);

/** A flow to an address says that it means `name`: the server name of TLS or the host of HTTP. 0 or EACCES. */
export const Claim = message(3, 'claim', record({ address, port: u16, name: text(CLAIM_MAX), asker }), nothing);

/**
 * Never asked for. TCP: a connection that was accepted. UDP: a socket connected to a new peer, and the datagrams that had arrived before it was,
 * one a message (only the first has the descriptor).
 */
export const Arrival = message(4, 'arrival', nothing, record({ published: u16, address, port: u16, datagram: text(DATAGRAM_MAX) }));
