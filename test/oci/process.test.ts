/** config.json's process: arguments, environment, directory, user, umask, capabilities, limits, and what else the container's init starts with. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { newContainer, runShell } from './harness/container.ts';
import { procFile, processTree } from '../harness/process-tree.ts';
import { isAlive } from './harness/processes.ts';
import { ours } from './harness/runtime.ts';

/** Bit numbers, <linux/capability.h>. */
const CAP = { CHOWN: 0, KILL: 5, NET_BIND_SERVICE: 10, SYS_ADMIN: 21, AUDIT_WRITE: 29 } as const;

function mask(...bits: number[]): string {
  return bits
    .reduce((sum, bit) => sum + 2 ** bit, 0)
    .toString(16)
    .padStart(16, '0');
}

/** The five sets of /proc/self/status, in the order inheritable, permitted, effective, bounding, ambient. */
function sets(status: string): string[] {
  return ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].map((set) => new RegExp(`^Cap${set}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? '');
}

describe('arguments, environment, directory', () => {
  test('arguments arrive byte by byte', async () => {
    await using box = await newContainer({
      args: ['sh', '-c', 'for a; do printf "<%s>" "$a"; done', 'name', '', ' two words ', 'ümlaut', '$HOME', '"q"', '\\'],
    });
    expect((await box.run()).stdout).toBe('<>< two words ><ümlaut><$HOME><"q"><\\>');
  });

  test('the environment is the one of the file, in its order, and HOME is that of the user', async () => {
    await using box = await newContainer({
      args: ['cat', '/proc/self/environ'],
      edit: (spec) => (spec.process.env = ['PATH=/bin', 'B=2', 'A=1', 'EMPTY=']),
    });
    expect((await box.run()).stdout.split('\0')).toEqual(['PATH=/bin', 'B=2', 'A=1', 'EMPTY=', 'HOME=/root', '']);
  });

  test('the program is looked up in the PATH of the file', async () => {
    await using box = await newContainer({
      args: ['hello'],
      edit(spec, rootfs) {
        mkdirSync(join(rootfs, 'opt'));
        writeFileSync(join(rootfs, 'opt/hello'), '#!/bin/sh\necho found\n');
        chmodSync(join(rootfs, 'opt/hello'), 0o755);
        spec.process.env = ['PATH=/bin:/opt'];
      },
    });
    expect((await box.run()).stdout).toBe('found\n');
  });

  test.for([
    ['a name that PATH does not have', 'nosuchprogram', 'executable file not found in $PATH'],
    ['a path that is not there', '/bin/nosuch', 'no such file or directory'],
    ['a file that is not executable', '/etc/passwd', 'permission denied'],
    ['a directory', '/bin', 'permission denied'],
  ] as const)('create refuses %s', async ([, program, said]) => {
    await using box = await newContainer({ args: [program] });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain(said);
    expect(await box.state()).toBeNull();
  });

  test('the working directory is made when it is not there', async () => {
    const outcome = await runShell('pwd; stat -c %a .', (spec) => {
      spec.root.readonly = false;
      spec.process.cwd = '/made/for/you';
    });
    expect(outcome.stdout).toBe('/made/for/you\n755\n');
  });

  test('pid 1, with a session of its own', async () => {
    // Fields 4 to 6: parent, process group, session.
    expect((await runShell('echo $$; cut -d" " -f4,5,6 /proc/1/stat')).stdout).toBe('1\n0 1 1\n');
  });
});

describe('user', () => {
  test('uid, gid, additional groups', async () => {
    const outcome = await runShell('id -u; id -g; id -G', (spec) => {
      spec.process.user = { uid: 1234, gid: 567, additionalGids: [10, 20] };
    });
    expect(outcome.stdout).toBe('1234\n567\n567 10 20\n');
  });

  test('umask', async () => {
    const outcome = await runShell('umask; touch /tmp/f; stat -c %a /tmp/f', (spec) => {
      spec.root.readonly = false;
      spec.process.user.umask = 0o027;
    });
    expect(outcome.stdout).toBe('0027\n640\n');
  });

  test('HOME of a user of /etc/passwd, / for one who is not there', async () => {
    const home = (uid: number) => runShell('echo $HOME', (spec) => (spec.process.user = { uid, gid: uid }));
    expect((await home(65534)).stdout).toBe('/home\n');
    expect((await home(4321)).stdout).toBe('/\n');
  });
});

describe('capabilities', () => {
  const status = 'cat /proc/self/status';

  const given = ['CAP_CHOWN', 'CAP_KILL'];

  test.for([
    // A program of root gets what the bounding set leaves it at execve, unless it may not gain privileges.
    [false, mask(CAP.CHOWN, CAP.KILL, CAP.NET_BIND_SERVICE)],
    [true, mask(CAP.CHOWN, CAP.KILL)],
  ] as const)('each set as the file says, noNewPrivileges %s', async ([noNewPrivileges, expected]) => {
    const outcome = await runShell(status, (spec) => {
      spec.process.noNewPrivileges = noNewPrivileges;
      spec.process.capabilities = { bounding: [...given, 'CAP_NET_BIND_SERVICE'], permitted: given, effective: ['CAP_CHOWN'] };
    });
    expect(sets(outcome.stdout)).toEqual([mask(), expected, expected, mask(CAP.CHOWN, CAP.KILL, CAP.NET_BIND_SERVICE), mask()]);
  });

  test('none', async () => {
    const outcome = await runShell(`${status}; chown 1 /tmp; hostname other`, (spec) => (spec.process.capabilities = {}));
    expect(sets(outcome.stdout)).toEqual([mask(), mask(), mask(), mask(), mask()]);
    expect(outcome.stderr).toMatch(/chown: .*not permitted|chown: .*Read-only/);
    expect(outcome.stderr).toMatch(/hostname: .*not permitted/);
  });

  test('ambient ones stay with another user', async () => {
    const outcome = await runShell(status, (spec) => {
      const one = ['CAP_NET_BIND_SERVICE'];
      spec.process.user = { uid: 1000, gid: 1000 };
      spec.process.capabilities = { bounding: one, permitted: one, effective: one, inheritable: one, ambient: one };
    });
    const one = mask(CAP.NET_BIND_SERVICE);
    expect(sets(outcome.stdout)).toEqual([one, one, one, one, one]);
  });

  test('a user without ambient ones has none', async () => {
    const outcome = await runShell(status, (spec) => {
      spec.process.user = { uid: 1000, gid: 1000 };
      spec.process.capabilities = { bounding: ['CAP_CHOWN'], permitted: ['CAP_CHOWN'], effective: ['CAP_CHOWN'] };
    });
    expect(sets(outcome.stdout)).toEqual([mask(), mask(), mask(), mask(CAP.CHOWN), mask()]);
  });

  test('a name that nobody knows is warned about or refused, by name', async () => {
    const outcome = await runShell('echo runs', (spec) => spec.process.capabilities.bounding?.push('CAP_NO_SUCH'));
    expect(outcome.stderr).toContain('CAP_NO_SUCH');
  });
});

describe('limits and privileges', () => {
  test('rlimits', async () => {
    const outcome = await runShell('ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hs', (spec) => {
      spec.process.rlimits = [
        { type: 'RLIMIT_NOFILE', soft: 300, hard: 400 },
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
        { type: 'RLIMIT_STACK', soft: 1 << 20, hard: 1 << 24 },
      ];
    });
    expect(outcome.stdout).toBe('300\n400\n0\n16384\n');
  });

  test('the limit of descriptors holds', async () => {
    const outcome = await runShell('exec 5</bin/sh 6</bin/sh 7</bin/sh; exec 8</bin/sh', (spec) => {
      spec.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 8, hard: 8 }];
    });
    expect(outcome.stderr).toMatch(/Too many open files|Bad file descriptor|can't|Invalid argument/);
    expect(outcome.status).not.toBe(0);
  });

  test('an rlimit that nobody knows', async () => {
    await using box = await newContainer({ edit: (spec) => spec.process.rlimits?.push({ type: 'RLIMIT_BOGUS', soft: 1, hard: 1 }) });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('RLIMIT_BOGUS');
  });

  test.for([true, false])('noNewPrivileges %s', async (wanted) => {
    const outcome = await runShell('grep NoNewPrivs /proc/self/status', (spec) => (spec.process.noNewPrivileges = wanted));
    expect(outcome.stdout).toBe(`NoNewPrivs:\t${wanted ? 1 : 0}\n`);
  });

  test.for([
    [false, '0\n'],
    [true, '1000\n'],
  ] as const)('a set-uid program with noNewPrivileges %s', async ([noNewPrivileges, said]) => {
    await using box = await newContainer({
      args: ['/effective-user'],
      edit(spec, rootfs) {
        copyFileSync(compileGuest('oci/harness/effective-user.c'), join(rootfs, 'effective-user'));
        chmodSync(join(rootfs, 'effective-user'), 0o4755);
        spec.process.user = { uid: 1000, gid: 1000 };
        spec.process.noNewPrivileges = noNewPrivileges;
      },
    });
    expect((await box.run()).stdout).toBe(said);
  });

  test('oomScoreAdj', async () => {
    await using box = await newContainer({
      shell: 'cat /proc/self/oom_score_adj; sleep 300',
      edit: (spec) => (spec.process.oomScoreAdj = 321),
    });
    expect((await box.create()).status).toBe(0);
    const { pid } = (await box.state())!;
    // The host chooses among the host's processes, so those of the container have to have it; of ours the guests, for the sentry is to outlive them.
    const chosen = ours ? processTree(pid) : [pid];
    expect(chosen.map((each) => procFile(each, 'oom_score_adj'))).toContain('321\n');
    await box.start();
    await expect.poll(() => box.streams.stdout).toBe('321\n');
    expect(isAlive(pid)).toBe(true);
  });
});

describe('what cannot be given', () => {
  test.for(['apparmorProfile', 'selinuxLabel'] as const)('%s: refused or warned about by name', async (field) => {
    const outcome = await runShell('echo runs', (spec) => (spec.process[field] = 'some_profile'));
    expect(outcome.stderr).toMatch(ours ? new RegExp(field) : /apparmor|selinux/i);
  });
});
