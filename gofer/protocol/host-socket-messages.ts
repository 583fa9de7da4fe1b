/**
 * The messages between the sentry (client) and the network helper when guests' sockets are the host's (`--net=host`), over one SOCK_SEQPACKET socket: one
 * question at a time, and the client waits for the answer. Framing and header are the gofer's (header.ts); after the helper's hello
 * (network-messages.ts) every message has the same shape, so that neither side makes an object for one:
 *
 *     client → helper   header (8), handle u32, a i32, b i32, bytes
 *     helper → client   header (8), errno u32, value u32, bytes if errno is 0; perhaps a descriptor (SCM_RIGHTS)
 *
 *     type           handle   a          b               bytes                  reply: value, bytes, descriptor
 *     SOCKET         0        domain     type            -                      handle, -, the socket
 *     BIND           socket   -          -               sockaddr               -
 *     CONNECT        socket   -          -               sockaddr               -
 *     LISTEN         socket   backlog    -               -                      -
 *     ACCEPT         socket   -          -               -                      handle, peer's sockaddr, the connection
 *     NAME           socket   0 own,     -               -                      -, sockaddr
 *                             1 peer
 *     SET_OPTION     socket   level      name            value                  -
 *     GET_OPTION     socket   level      name            as many as wanted      -, value
 *     SEND           socket   MSG_*      bytes of the    sockaddr, then data    bytes sent
 *                                        sockaddr
 *     CLOSE          socket   -          -               -                      -
 */

export const SOCKET = 16;
export const BIND = 17;
export const CONNECT = 18;
export const LISTEN = 19;
export const ACCEPT = 20;
export const NAME = 21;
export const SET_OPTION = 22;
export const GET_OPTION = 23;
export const SEND = 24;
export const CLOSE = 25;

export const NAME_OWN = 0;
export const NAME_PEER = 1;

/** Where things are, from the beginning of a message. */
export const HANDLE_AT = 8;
export const A_AT = 12;
export const B_AT = 16;
export const REQUEST_BYTES_AT = 20;
export const VALUE_AT = 12;
export const REPLY_BYTES_AT = 16;

/** Longest datagram that anybody can send, and longest piece of a stream in one message. */
export const DATA_MAX = 65_536;
/** Longest sockaddr (sockaddr_storage). */
export const ADDRESS_MAX = 128;
/** Longest value of an option. */
export const OPTION_MAX = 4_096;
/** Longest message. */
export const HOST_MESSAGE_MAX: number = REQUEST_BYTES_AT + ADDRESS_MAX + DATA_MAX;
/** Sockets of one sandbox. Beyond that socket(2) and accept(2) answer ENFILE. */
export const HOST_SOCKETS_MAX = 16_384;
