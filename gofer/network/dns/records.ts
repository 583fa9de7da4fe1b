/** Numbers of the domain name system (RFC 1035, RFC 3596, RFC 6891, RFC 8914, RFC 9460). */
export const TYPE_A = 1;
export const TYPE_CNAME = 5;
export const TYPE_PTR = 12;
export const TYPE_AAAA = 28;
export const TYPE_OPT = 41;
export const TYPE_SVCB = 64;
export const TYPE_HTTPS = 65;
export const TYPE_ANY = 255;
export const CLASS_IN = 1;

export const FLAG_RESPONSE = 0x8000;
export const FLAG_TRUNCATED = 0x0200;
export const FLAG_RECURSION_DESIRED = 0x0100;
export const FLAG_RECURSION_AVAILABLE = 0x0080;
export const OPCODE_MASK = 0x7800;
export const RCODE_MASK = 15;

export const RCODE_OK = 0;
export const RCODE_SERVFAIL = 2;
export const RCODE_NXDOMAIN = 3;
export const RCODE_NOTIMP = 4;
export const RCODE_REFUSED = 5;

/** EDNS option that says more about an answer, and its code for what the operator of the resolver forbids. */
export const OPTION_EXTENDED_ERROR = 15;
export const EXTENDED_BLOCKED = 15;

export const HEADER_SIZE = 12;
/** What a resolver may send by UDP to one that says nothing else. */
export const UDP_DEFAULT_MAX = 512;
