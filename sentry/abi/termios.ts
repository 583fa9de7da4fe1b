/**
 * ioctl(2) requests of terminals (ioctl_tty(2)) and the sizes of what they carry; the parts of struct termios the kernel itself looks at.
 * Values of x86-64 (asm-generic/ioctls.h, asm-generic/termbits.h).
 */
export const TCGETS = 0x5401;
export const TCSETS = 0x5402;
export const TCSETSW = 0x5403;
export const TCSETSF = 0x5404;
export const TCSBRK = 0x5409;
export const TCXONC = 0x540a;
export const TCFLSH = 0x540b;
export const TIOCEXCL = 0x540c;
export const TIOCNXCL = 0x540d;
export const TIOCSCTTY = 0x540e;
export const TIOCGPGRP = 0x540f;
export const TIOCSPGRP = 0x5410;
export const TIOCOUTQ = 0x5411;
export const TIOCSTI = 0x5412;
export const TIOCGWINSZ = 0x5413;
export const TIOCSWINSZ = 0x5414;
export const TIOCINQ = 0x541b;
export const TIOCNOTTY = 0x5422;
export const TIOCGSID = 0x5429;
export const TCGETS2 = 0x802c_542a;
export const TCSETS2 = 0x402c_542b;
export const TCSETSW2 = 0x402c_542c;
export const TCSETSF2 = 0x402c_542d;
export const TIOCGPTN = 0x8004_5430;
export const TIOCSPTLCK = 0x4004_5431;
export const TIOCGPTPEER = 0x5441;

/** struct termios: four words of flags, the line discipline, nineteen control characters. */
export const TERMIOS_SIZE = 36;
/** struct termios2: the same with two speeds. */
export const TERMIOS2_SIZE = 44;
export const WINSIZE_SIZE = 8;
/** Offset of c_lflag in both. */
export const LFLAG_OFFSET = 12;
/** c_lflag: writing from the background stops the writer. */
export const TOSTOP = 0o400;
