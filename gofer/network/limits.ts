/**
 * Bounds of the network helper. Each has a policy for when it is reached, said here.
 */

/** Rules of one kind (allow, deny) on a command line: more is wrong usage. */
export const RULES_MAX = 1_024;
/** Listening addresses (`--publish`): more is wrong usage. */
export const PUBLISHED_MAX = 64;

/** Addresses whose names are remembered. Beyond that the one whose names are the stalest is forgotten: flows to it need a new question. */
export const BOUND_ADDRESSES_MAX = 4_096;
/** Names remembered of one address; the stalest goes. */
export const NAMES_PER_ADDRESS_MAX = 16;
/**
 * Names stay bound for at least this long, however short the time to live: programs keep the answer of getaddrinfo(3) and connect again with
 * it later. And for at most a day.
 */
export const BINDING_MIN_NS = 600e9;
export const BINDING_MAX_NS = 86_400e9;

/** Questions under way to the resolvers of the host. A further one is answered SERVFAIL. */
export const QUESTIONS_MAX = 64;
/** Records of one answer that are looked at; an answer with more is not passed on. */
export const RECORDS_MAX = 512;
/** How long one resolver is waited for, and how often all of them are asked (resolv.conf(5): timeout 5, attempts 2). */
export const RESOLVER_TIMEOUT_NS = 4e9;
export const RESOLVER_ROUNDS = 2;
/** Resolvers used of those in resolv.conf (MAXNS). */
export const RESOLVERS_MAX = 3;
/** Names of the host's /etc/hosts that are answered. */
export const HOSTS_MAX = 4_096;

/** Lines in a denial report; the last says that there are more. */
export const DENIALS_MAX = 10_000;
