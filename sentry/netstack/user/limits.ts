/**
 * Bounds of the gateway. Each has a policy for when it is reached, said here.
 */

/** TCP flows, both ways together. A further SYN is not answered: the guest's TCP tries again. */
export const TCP_FLOWS_MAX = 4_096;
/** UDP flows and pings. A further one takes the place of the one that was silent for longest. */
export const UDP_FLOWS_MAX = 1_024;
/** Datagrams that wait for their flow's socket; more are dropped. */
export const WAITING_DATAGRAMS_MAX = 8;
/** A UDP flow ends when nothing came for so long: without an answer yet, and with one (Linux: nf_conntrack_udp_timeout, …_stream). */
export const UDP_UNANSWERED_NS = 30e9;
export const UDP_IDLE_NS = 120e9;
/** Bytes that one flow moves one way before others get their turn. */
export const FLOW_BUDGET = 1_048_576;
/** Datagrams that one flow takes from the host before others get their turn. */
export const DATAGRAM_BUDGET = 64;
/** First bytes of a flow that are looked at for a name; a flow that needs more to say it is refused. */
export const CLAIM_BYTES_MAX = 20_480;
/** Names that the first bytes of one flow may claim. */
export const CLAIMS_MAX = 8;
/** Questions to the helper that wait for their turn; beyond that a SYN or datagram is lost, and will come again. */
export const QUESTIONS_QUEUED_MAX = 1_024;
