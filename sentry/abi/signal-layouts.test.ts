/** Layouts and constants of signals, times and limits, against what the host's C compiler says. Skipped where there is none. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as f from './futex.ts';
import { RLIM_NLIMITS, Rusage, SysinfoLayout } from './resource.ts';
import { SIGINFO_SIZE } from './siginfo.ts';
import * as s from './signal.ts';
import { Utsname } from './system.ts';
import * as t from './time.ts';
import { Reg, REGISTER_WORDS } from './x64/registers.ts';
import { Frame, FRAME_REGISTERS } from './x64/signal-frame.ts';

/** C expression → the value declared here. */
const EXPECTED: Readonly<Record<string, number>> = {
  'offsetof(ucontext_t, uc_flags)': Frame.flags - Frame.ucontext,
  'offsetof(ucontext_t, uc_link)': Frame.link - Frame.ucontext,
  'offsetof(ucontext_t, uc_stack.ss_sp)': Frame.stackAddress - Frame.ucontext,
  'offsetof(ucontext_t, uc_stack.ss_flags)': Frame.stackFlags - Frame.ucontext,
  'offsetof(ucontext_t, uc_stack.ss_size)': Frame.stackSize - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_R8])': Frame.registers - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP])': Frame.registers + 8 * FRAME_REGISTERS.indexOf(Reg.rsp) - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP])': Frame.registers + 8 * FRAME_REGISTERS.indexOf(Reg.rip) - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_EFL])': Frame.registers + 8 * FRAME_REGISTERS.indexOf(Reg.eflags) - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_CSGSFS])': Frame.cs - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_ERR])': Frame.errorCode - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_TRAPNO])': Frame.trapNumber - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_OLDMASK])': Frame.oldMask - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.gregs[REG_CR2])': Frame.faultAddress - Frame.ucontext,
  'offsetof(ucontext_t, uc_mcontext.fpregs)': Frame.fpstate - Frame.ucontext,
  'offsetof(ucontext_t, uc_sigmask)': Frame.mask - Frame.ucontext,
  'sizeof(siginfo_t)': SIGINFO_SIZE,
  'offsetof(siginfo_t, si_pid)': 16,
  'offsetof(siginfo_t, si_value)': 24,
  'offsetof(siginfo_t, si_status)': 24,
  'offsetof(siginfo_t, si_utime)': 32,
  'offsetof(siginfo_t, si_stime)': 40,
  'offsetof(siginfo_t, si_addr)': 16,
  'offsetof(siginfo_t, si_band)': 16,
  'offsetof(siginfo_t, si_fd)': 24,
  'offsetof(siginfo_t, si_overrun)': 20,
  'sizeof(stack_t)': s.StackLayout.size,
  'offsetof(stack_t, ss_size)': s.StackLayout.offsets.size,
  'sizeof(struct sigevent)': s.SIGEVENT_SIZE,
  'offsetof(struct sigevent, sigev_signo)': s.SigeventLayout.offsets.signo,
  'offsetof(struct sigevent, sigev_notify)': s.SigeventLayout.offsets.notify,
  'offsetof(struct user_regs_struct, rip)': Reg.rip * 4,
  'offsetof(struct user_regs_struct, orig_rax)': Reg.origRax * 4,
  'offsetof(struct user_regs_struct, eflags)': Reg.eflags * 4,
  'offsetof(struct user_regs_struct, fs_base)': Reg.fsBase * 4,
  'sizeof(struct user_regs_struct)': REGISTER_WORDS * 4,
  'sizeof(struct timex)': t.TIMEX_SIZE,
  'sizeof(struct itimerspec)': t.Itimerspec.size,
  'sizeof(struct tms)': t.Tms.size,
  'sizeof(struct rusage)': Rusage.size,
  'offsetof(struct rusage, ru_nivcsw)': Rusage.offsets.nivcsw,
  'sizeof(struct sysinfo)': SysinfoLayout.size,
  'offsetof(struct sysinfo, procs)': SysinfoLayout.offsets.procs,
  'offsetof(struct sysinfo, mem_unit)': SysinfoLayout.offsets.memUnit,
  'sizeof(struct utsname)': Utsname.size,
  RLIM_NLIMITS,
  'sizeof(struct robust_list_head)': f.ROBUST_LIST_HEAD_SIZE,
  SA_RESETHAND: s.SA_RESETHAND,
  SA_ONSTACK: s.SA_ONSTACK,
  SA_RESTART: s.SA_RESTART,
  SIGRTMIN_KERNEL: s.SIGRTMIN,
  SIGSYS: s.SIGSYS,
  SI_TKILL: s.SI_TKILL,
  FUTEX_CMP_REQUEUE: f.FUTEX_CMP_REQUEUE,
  FUTEX_WAIT_BITSET: f.FUTEX_WAIT_BITSET,
};

const PROGRAM = `#define _GNU_SOURCE
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/ucontext.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <time.h>
#include <ucontext.h>
#define SIGRTMIN_KERNEL __SIGRTMIN
int main(void) {
${Object.keys(EXPECTED)
  .map((expression) => `  printf("%lld\\n", (long long)(${expression}));`)
  .join('\n')}
  return 0;
}
`;

const compiler = process.arch === 'x64' && spawnSync('cc', ['--version']).status === 0;

describe.skipIf(!compiler)('C', () => {
  test('agrees on every offset, size and constant', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsvisor-layouts-'));
    try {
      writeFileSync(join(folder, 'layouts.c'), PROGRAM);
      const built = spawnSync('cc', ['-o', join(folder, 'layouts'), join(folder, 'layouts.c')], { encoding: 'utf8' });
      expect(built.stderr).toBe('');
      const lines = spawnSync(join(folder, 'layouts'), { encoding: 'utf8' }).stdout.trim().split('\n').map(Number);
      const told = Object.fromEntries(
        Object.keys(EXPECTED).map((expression, i) => [expression, expression.startsWith('SA_') ? lines[i]! >>> 0 : lines[i]!]),
      );
      expect(told).toEqual(EXPECTED);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
