/**
 * uname(2), getrandom(2), syslog(2): small interfaces to the system as a whole.
 */
import { chars, struct } from './layout.ts';

/** Bytes of each field of `struct new_utsname`, with the terminator. */
export const UTSNAME_FIELD = 65;
export const UTSNAME_MAX = 64;
export const Utsname = struct('utsname', {
  sysname: chars(UTSNAME_FIELD),
  nodename: chars(UTSNAME_FIELD),
  release: chars(UTSNAME_FIELD),
  version: chars(UTSNAME_FIELD),
  machine: chars(UTSNAME_FIELD),
  domainname: chars(UTSNAME_FIELD),
});

export const GRND_NONBLOCK = 1;
export const GRND_RANDOM = 2;
export const GRND_INSECURE = 4;
/** Most bytes one getrandom(2) yields. */
export const GETRANDOM_MAX = 0x1ff_ffff;
