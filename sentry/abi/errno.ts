/**
 * Error numbers of Linux (errno(3), asm-generic/errno.h), the same on x86-64 and arm64.
 *
 * Handlers return them negated. The ERESTART* values never reach a guest: they tell signal delivery how an interrupted call goes on
 * (Linux include/linux/errno.h).
 */
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const ENOTBLK = 15;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ETXTBSY = 26;
export const EFBIG = 27;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const EROFS = 30;
export const EMLINK = 31;
export const EPIPE = 32;
export const EDOM = 33;
export const ERANGE = 34;
export const EDEADLK = 35;
export const ENAMETOOLONG = 36;
export const ENOLCK = 37;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const EWOULDBLOCK = EAGAIN;
export const ENOMSG = 42;
export const EIDRM = 43;
export const ECHRNG = 44;
export const EL2NSYNC = 45;
export const EL3HLT = 46;
export const EL3RST = 47;
export const ELNRNG = 48;
export const EUNATCH = 49;
export const ENOCSI = 50;
export const EL2HLT = 51;
export const EBADE = 52;
export const EBADR = 53;
export const EXFULL = 54;
export const ENOANO = 55;
export const EBADRQC = 56;
export const EBADSLT = 57;
export const EDEADLOCK = EDEADLK;
export const EBFONT = 59;
export const ENOSTR = 60;
export const ENODATA = 61;
export const ETIME = 62;
export const ENOSR = 63;
export const ENONET = 64;
export const ENOPKG = 65;
export const EREMOTE = 66;
export const ENOLINK = 67;
export const EADV = 68;
export const ESRMNT = 69;
export const ECOMM = 70;
export const EPROTO = 71;
export const EMULTIHOP = 72;
export const EDOTDOT = 73;
export const EBADMSG = 74;
export const EOVERFLOW = 75;
export const ENOTUNIQ = 76;
export const EBADFD = 77;
export const EREMCHG = 78;
export const ELIBACC = 79;
export const ELIBBAD = 80;
export const ELIBSCN = 81;
export const ELIBMAX = 82;
export const ELIBEXEC = 83;
export const EILSEQ = 84;
export const ERESTART = 85;
export const ESTRPIPE = 86;
export const EUSERS = 87;
export const ENOTSOCK = 88;
export const EDESTADDRREQ = 89;
export const EMSGSIZE = 90;
export const EPROTOTYPE = 91;
export const ENOPROTOOPT = 92;
export const EPROTONOSUPPORT = 93;
export const ESOCKTNOSUPPORT = 94;
export const EOPNOTSUPP = 95;
export const EPFNOSUPPORT = 96;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENETRESET = 102;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const EISCONN = 106;
export const ENOTCONN = 107;
export const ESHUTDOWN = 108;
export const ETOOMANYREFS = 109;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTDOWN = 112;
export const EHOSTUNREACH = 113;
export const EALREADY = 114;
export const EINPROGRESS = 115;
export const ESTALE = 116;
export const EUCLEAN = 117;
export const ENOTNAM = 118;
export const ENAVAIL = 119;
export const EISNAM = 120;
export const EREMOTEIO = 121;
export const EDQUOT = 122;
export const ENOMEDIUM = 123;
export const EMEDIUMTYPE = 124;
export const ECANCELED = 125;
export const ENOKEY = 126;
export const EKEYEXPIRED = 127;
export const EKEYREVOKED = 128;
export const EKEYREJECTED = 129;
export const EOWNERDEAD = 130;
export const ENOTRECOVERABLE = 131;
export const ERFKILL = 132;
export const EHWPOISON = 133;

/** Restart if the handler that interrupted has SA_RESTART, else EINTR. */
export const ERESTARTSYS = 512;
/** Restart always. */
export const ERESTARTNOINTR = 513;
/** Restart only if no handler ran, else EINTR. */
export const ERESTARTNOHAND = 514;
/** Like ERESTARTNOHAND, but goes on through restart_syscall with the remaining time. */
export const ERESTART_RESTARTBLOCK = 516;

const NAMES: readonly (readonly [string, number])[] = [
  ['EPERM', EPERM],
  ['ENOENT', ENOENT],
  ['ESRCH', ESRCH],
  ['EINTR', EINTR],
  ['EIO', EIO],
  ['ENXIO', ENXIO],
  ['E2BIG', E2BIG],
  ['ENOEXEC', ENOEXEC],
  ['EBADF', EBADF],
  ['ECHILD', ECHILD],
  ['EAGAIN', EAGAIN],
  ['ENOMEM', ENOMEM],
  ['EACCES', EACCES],
  ['EFAULT', EFAULT],
  ['ENOTBLK', ENOTBLK],
  ['EBUSY', EBUSY],
  ['EEXIST', EEXIST],
  ['EXDEV', EXDEV],
  ['ENODEV', ENODEV],
  ['ENOTDIR', ENOTDIR],
  ['EISDIR', EISDIR],
  ['EINVAL', EINVAL],
  ['ENFILE', ENFILE],
  ['EMFILE', EMFILE],
  ['ENOTTY', ENOTTY],
  ['ETXTBSY', ETXTBSY],
  ['EFBIG', EFBIG],
  ['ENOSPC', ENOSPC],
  ['ESPIPE', ESPIPE],
  ['EROFS', EROFS],
  ['EMLINK', EMLINK],
  ['EPIPE', EPIPE],
  ['EDOM', EDOM],
  ['ERANGE', ERANGE],
  ['EDEADLK', EDEADLK],
  ['ENAMETOOLONG', ENAMETOOLONG],
  ['ENOLCK', ENOLCK],
  ['ENOSYS', ENOSYS],
  ['ENOTEMPTY', ENOTEMPTY],
  ['ELOOP', ELOOP],
  ['ENOMSG', ENOMSG],
  ['EIDRM', EIDRM],
  ['ECHRNG', ECHRNG],
  ['EL2NSYNC', EL2NSYNC],
  ['EL3HLT', EL3HLT],
  ['EL3RST', EL3RST],
  ['ELNRNG', ELNRNG],
  ['EUNATCH', EUNATCH],
  ['ENOCSI', ENOCSI],
  ['EL2HLT', EL2HLT],
  ['EBADE', EBADE],
  ['EBADR', EBADR],
  ['EXFULL', EXFULL],
  ['ENOANO', ENOANO],
  ['EBADRQC', EBADRQC],
  ['EBADSLT', EBADSLT],
  ['EBFONT', EBFONT],
  ['ENOSTR', ENOSTR],
  ['ENODATA', ENODATA],
  ['ETIME', ETIME],
  ['ENOSR', ENOSR],
  ['ENONET', ENONET],
  ['ENOPKG', ENOPKG],
  ['EREMOTE', EREMOTE],
  ['ENOLINK', ENOLINK],
  ['EADV', EADV],
  ['ESRMNT', ESRMNT],
  ['ECOMM', ECOMM],
  ['EPROTO', EPROTO],
  ['EMULTIHOP', EMULTIHOP],
  ['EDOTDOT', EDOTDOT],
  ['EBADMSG', EBADMSG],
  ['EOVERFLOW', EOVERFLOW],
  ['ENOTUNIQ', ENOTUNIQ],
  ['EBADFD', EBADFD],
  ['EREMCHG', EREMCHG],
  ['ELIBACC', ELIBACC],
  ['ELIBBAD', ELIBBAD],
  ['ELIBSCN', ELIBSCN],
  ['ELIBMAX', ELIBMAX],
  ['ELIBEXEC', ELIBEXEC],
  ['EILSEQ', EILSEQ],
  ['ERESTART', ERESTART],
  ['ESTRPIPE', ESTRPIPE],
  ['EUSERS', EUSERS],
  ['ENOTSOCK', ENOTSOCK],
  ['EDESTADDRREQ', EDESTADDRREQ],
  ['EMSGSIZE', EMSGSIZE],
  ['EPROTOTYPE', EPROTOTYPE],
  ['ENOPROTOOPT', ENOPROTOOPT],
  ['EPROTONOSUPPORT', EPROTONOSUPPORT],
  ['ESOCKTNOSUPPORT', ESOCKTNOSUPPORT],
  ['EOPNOTSUPP', EOPNOTSUPP],
  ['EPFNOSUPPORT', EPFNOSUPPORT],
  ['EAFNOSUPPORT', EAFNOSUPPORT],
  ['EADDRINUSE', EADDRINUSE],
  ['EADDRNOTAVAIL', EADDRNOTAVAIL],
  ['ENETDOWN', ENETDOWN],
  ['ENETUNREACH', ENETUNREACH],
  ['ENETRESET', ENETRESET],
  ['ECONNABORTED', ECONNABORTED],
  ['ECONNRESET', ECONNRESET],
  ['ENOBUFS', ENOBUFS],
  ['EISCONN', EISCONN],
  ['ENOTCONN', ENOTCONN],
  ['ESHUTDOWN', ESHUTDOWN],
  ['ETOOMANYREFS', ETOOMANYREFS],
  ['ETIMEDOUT', ETIMEDOUT],
  ['ECONNREFUSED', ECONNREFUSED],
  ['EHOSTDOWN', EHOSTDOWN],
  ['EHOSTUNREACH', EHOSTUNREACH],
  ['EALREADY', EALREADY],
  ['EINPROGRESS', EINPROGRESS],
  ['ESTALE', ESTALE],
  ['EUCLEAN', EUCLEAN],
  ['ENOTNAM', ENOTNAM],
  ['ENAVAIL', ENAVAIL],
  ['EISNAM', EISNAM],
  ['EREMOTEIO', EREMOTEIO],
  ['EDQUOT', EDQUOT],
  ['ENOMEDIUM', ENOMEDIUM],
  ['EMEDIUMTYPE', EMEDIUMTYPE],
  ['ECANCELED', ECANCELED],
  ['ENOKEY', ENOKEY],
  ['EKEYEXPIRED', EKEYEXPIRED],
  ['EKEYREVOKED', EKEYREVOKED],
  ['EKEYREJECTED', EKEYREJECTED],
  ['EOWNERDEAD', EOWNERDEAD],
  ['ENOTRECOVERABLE', ENOTRECOVERABLE],
  ['ERFKILL', ERFKILL],
  ['EHWPOISON', EHWPOISON],
  ['ERESTARTSYS', ERESTARTSYS],
  ['ERESTARTNOINTR', ERESTARTNOINTR],
  ['ERESTARTNOHAND', ERESTARTNOHAND],
  ['ERESTART_RESTARTBLOCK', ERESTART_RESTARTBLOCK],
];

const NAME_OF = new Map<number, string>(NAMES.map(([name, value]) => [value, name]));

/** Symbolic name of a positive error number, `E1234` when Linux has none. */
export function errnoName(errno: number): string {
  return NAME_OF.get(errno) ?? `E${errno}`;
}
