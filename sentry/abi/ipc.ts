/**
 * System V IPC: constants and structs of ipc(2), shmget(2), semget(2), msgget(2) and their control calls, as they cross the boundary on
 * x86-64 (include/uapi/linux/{ipc,shm,sem,msg}.h, asm/{ipcbuf,shmbuf,sembuf,msgbuf}.h). Times are seconds since 1970, sizes are bytes.
 */
import { i16, i32, i64, struct, u16, u32, u64 } from './layout.ts';
import type { ValueOf } from './layout.ts';

export const IPC_PRIVATE = 0;
export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const IPC_NOWAIT = 0o4000;

export const IPC_RMID = 0;
export const IPC_SET = 1;
export const IPC_STAT = 2;
export const IPC_INFO = 3;

// Permission asked for, in all three places of a mode at once (S_IRUGO, S_IWUGO, S_IXUGO).
export const IPC_READ = 0o444;
export const IPC_WRITE = 0o222;
export const IPC_EXECUTE = 0o111;

// ---- shared memory
export const SHM_HUGETLB = 0o4000;
export const SHM_NORESERVE = 0o10000;
export const SHM_RDONLY = 0o10000;
export const SHM_RND = 0o20000;
export const SHM_REMAP = 0o40000;
export const SHM_EXEC = 0o100000;
/** In the mode: to be destroyed at the last detach. */
export const SHM_DEST = 0o1000;
/** In the mode: locked in memory. */
export const SHM_LOCKED = 0o2000;
export const SHM_LOCK = 11;
export const SHM_UNLOCK = 12;
export const SHM_STAT = 13;
export const SHM_INFO = 14;
export const SHM_STAT_ANY = 15;

// ---- semaphores
export const SEM_UNDO = 0x1000;
export const GETPID = 11;
export const GETVAL = 12;
export const GETALL = 13;
export const GETNCNT = 14;
export const GETZCNT = 15;
export const SETVAL = 16;
export const SETALL = 17;
export const SEM_STAT = 18;
export const SEM_INFO = 19;
export const SEM_STAT_ANY = 20;
/** Largest value of a semaphore, and of an adjustment at exit. */
export const SEMVMX = 32767;

// ---- message queues
export const MSG_NOERROR = 0o10000;
export const MSG_EXCEPT = 0o20000;
export const MSG_COPY = 0o40000;
export const MSG_STAT = 11;
export const MSG_INFO = 12;
export const MSG_STAT_ANY = 13;

export const IpcPerm = struct('ipc64_perm', {
  key: i32,
  uid: u32,
  gid: u32,
  cuid: u32,
  cgid: u32,
  mode: u32,
  seq: u16,
  unused1: u64,
  unused2: u64,
});
export type IpcPerm = ValueOf<typeof IpcPerm>;

export const ShmidDs = struct('shmid64_ds', {
  perm: IpcPerm,
  segsz: u64,
  atime: i64,
  dtime: i64,
  ctime: i64,
  cpid: i32,
  lpid: i32,
  nattch: u64,
  unused4: u64,
  unused5: u64,
});

export const ShmInfoLimits = struct('shminfo64', {
  shmmax: u64,
  shmmin: u64,
  shmmni: u64,
  shmseg: u64,
  shmall: u64,
  unused1: u64,
  unused2: u64,
  unused3: u64,
  unused4: u64,
});

export const ShmInfo = struct('shm_info', { usedIds: i32, total: u64, resident: u64, swapped: u64, swapAttempts: u64, swapSuccesses: u64 });

export const SemidDs = struct('semid64_ds', {
  perm: IpcPerm,
  otime: i64,
  unused1: u64,
  ctime: i64,
  unused2: u64,
  nsems: u64,
  unused3: u64,
  unused4: u64,
});

export const SemInfo = struct('seminfo', {
  semmap: i32,
  semmni: i32,
  semmns: i32,
  semmnu: i32,
  semmsl: i32,
  semopm: i32,
  semume: i32,
  semusz: i32,
  semvmx: i32,
  semaem: i32,
});

export const Sembuf = struct('sembuf', { num: u16, op: i16, flg: i16 });

export const MsqidDs = struct('msqid64_ds', {
  perm: IpcPerm,
  stime: i64,
  rtime: i64,
  ctime: i64,
  cbytes: u64,
  qnum: u64,
  qbytes: u64,
  lspid: i32,
  lrpid: i32,
  unused4: u64,
  unused5: u64,
});

export const MsgInfo = struct('msginfo', {
  msgpool: i32,
  msgmap: i32,
  msgmax: i32,
  msgmnb: i32,
  msgmni: i32,
  msgssz: i32,
  msgtql: i32,
  msgseg: u16,
});
