/**
 * States of a connection (RFC 9293 section 3.3.2) by the numbers Linux gives them in TCP_INFO and /proc/net/tcp (include/net/tcp_states.h),
 * and sets of them as bit masks, so that a question about several is one operation.
 */
export const ESTABLISHED = 1;
export const SYN_SENT = 2;
export const SYN_RECEIVED = 3;
export const FIN_WAIT1 = 4;
export const FIN_WAIT2 = 5;
export const TIME_WAIT = 6;
export const CLOSED = 7;
export const CLOSE_WAIT = 8;
export const LAST_ACK = 9;
export const LISTEN = 10;
export const CLOSING = 11;

/** States in which the guest may send. */
export const MAY_SEND = (1 << ESTABLISHED) | (1 << CLOSE_WAIT);
/** States in which the peer may send data. */
export const MAY_RECEIVE = (1 << ESTABLISHED) | (1 << FIN_WAIT1) | (1 << FIN_WAIT2);
/** Both sides know of the connection. */
export const SYNCHRONIZED = MAY_SEND | (1 << FIN_WAIT1) | (1 << FIN_WAIT2) | (1 << CLOSING) | (1 << LAST_ACK);
/** Our FIN, or data before it, is not acknowledged. */
export const FIN_UNDER_WAY = (1 << FIN_WAIT1) | (1 << CLOSING) | (1 << LAST_ACK);
/** The connection is being opened. */
export const OPENING = (1 << SYN_SENT) | (1 << SYN_RECEIVED);

/** Whether `state` is one of `set`. */
export function isIn(state: number, set: number): boolean {
  return ((1 << state) & set) !== 0;
}

/** States of congestion control (Linux enum tcp_ca_state). */
export const CA_OPEN = 0;
export const CA_DISORDER = 1;
export const CA_CWR = 2;
export const CA_RECOVERY = 3;
export const CA_LOSS = 4;

/** Directions that are shut: bits as Linux's RCV_SHUTDOWN and SEND_SHUTDOWN. */
export const SHUT_RECEIVE = 1;
export const SHUT_SEND = 2;
export const SHUT_BOTH = 3;
