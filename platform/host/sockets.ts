/**
 * Sockets of the host: those of the Internet for the network helper (gofer/network), and the control socket of a container. As in files.ts,
 * arguments called `…At` are addresses of memory outside the V8 heap that live through the call, and results are negative for -errno.
 *
 * Specification: ip(7), ipv6(7), tcp(7), udp(7), icmp(7) and the manual page of each call (section 2).
 */
import koffi from 'koffi';
import { checked } from './libc.ts';

type N2 = (a: number, b: number) => number;
type N3 = (a: number, b: number, c: number) => number;
type N4 = (a: number, b: number, c: number, d: number) => number;
type N5 = (a: number, b: number, c: number, d: number, e: number) => number;
type N6 = (a: number, b: number, c: number, d: number, e: number, f: number) => number;

const libc = koffi.load('libc.so.6');

// SAFETY (for every declaration below): checked by hand against the C prototype; addresses travel as uintptr_t and are the callers' own
// mapped memory of at least the length given.
function bound<F extends (...args: never[]) => number>(declaration: string): F {
  return libc.func(declaration) as unknown as F;
}

/** Bound when first called: every sandbox loads this file, and few use it. Binding one takes 20 µs. */
function later<F extends (...args: never[]) => number>(declaration: string): () => F {
  let raw: F | null = null;
  return () => (raw ??= bound<F>(declaration));
}

const rawSocket = later<N3>('int socket(int, int, int)');
const rawConnect = later<N3>('int connect(int, uintptr_t, unsigned int)');
const rawBind = later<N3>('int bind(int, uintptr_t, unsigned int)');
const rawListen = later<N2>('int listen(int, int)');
const rawAccept = later<N4>('int accept4(int, uintptr_t, uintptr_t, int)');
const rawGetsockopt = later<N5>('int getsockopt(int, int, int, uintptr_t, uintptr_t)');
const rawRecvfrom = later<N6>('long recvfrom(int, uintptr_t, size_t, int, uintptr_t, uintptr_t)');
const rawSendto = later<N6>('long sendto(int, uintptr_t, size_t, int, uintptr_t, unsigned int)');
const rawGetsockname = later<N3>('int getsockname(int, uintptr_t, uintptr_t)');
const rawGetpeername = later<N3>('int getpeername(int, uintptr_t, uintptr_t)');
const rawShutdown = later<N2>('int shutdown(int, int)');
const rawSend: N4 = bound('long send(int, uintptr_t, size_t, int)');

/** (domain, type, protocol) */
export const socket: N3 = (domain, type, protocol) => checked(rawSocket()(domain, type, protocol));
/** (fd, addressAt, length) */
export const connect: N3 = (fd, addressAt, length) => checked(rawConnect()(fd, addressAt, length));
/** (fd, addressAt, length) */
export const bind: N3 = (fd, addressAt, length) => checked(rawBind()(fd, addressAt, length));
/** (fd, backlog) */
export const listen: N2 = (fd, backlog) => checked(rawListen()(fd, backlog));
/** (fd, addressAt, lengthAt, flags) */
export const accept: N4 = (fd, addressAt, lengthAt, flags) => checked(rawAccept()(fd, addressAt, lengthAt, flags));
/** (fd, level, option, valueAt, lengthAt) */
export const getsockopt: N5 = (fd, level, option, valueAt, lengthAt) => checked(rawGetsockopt()(fd, level, option, valueAt, lengthAt));
/** (fd, intoAt, length, flags, addressAt, lengthAt) */
export const recvfrom: N6 = (fd, intoAt, length, flags, addressAt, lengthAt) =>
  checked(rawRecvfrom()(fd, intoAt, length, flags, addressAt, lengthAt));
/** (fd, at, length, flags, addressAt, addressLength) */
export const sendto: N6 = (fd, at, length, flags, addressAt, addressLength) =>
  checked(rawSendto()(fd, at, length, flags, addressAt, addressLength));
/** (fd, addressAt, lengthAt) */
export const getsockname: N3 = (fd, addressAt, lengthAt) => checked(rawGetsockname()(fd, addressAt, lengthAt));
/** (fd, addressAt, lengthAt) */
export const getpeername: N3 = (fd, addressAt, lengthAt) => checked(rawGetpeername()(fd, addressAt, lengthAt));
/** (fd, at, length, flags) */
export const send: N4 = (fd, at, length, flags) => checked(rawSend(fd, at, length, flags));
/** (fd, how) */
export const shutdown: N2 = (fd, how) => checked(rawShutdown()(fd, how));
