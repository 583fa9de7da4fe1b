/** Names, kernel parameters, namespaces, id mappings, and the container's own seccomp filter. */
import { spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { newContainer, runShell } from './harness/container.ts';
import { ours } from './harness/runtime.ts';
import type { Spec } from './harness/spec.ts';

function namespace(spec: Spec, type: string, path?: string): void {
  spec.linux.namespaces = spec.linux.namespaces.filter((entry) => entry.type !== type);
  spec.linux.namespaces.push(path === undefined ? { type } : { type, path });
}

describe('hostname and kernel parameters', () => {
  test('hostname', async () => {
    const outcome = await runShell('hostname; cat /proc/sys/kernel/hostname; uname -n', (spec) => (spec.hostname = 'its-name'));
    expect(outcome.stdout).toBe('its-name\nits-name\nits-name\n');
  });

  test('domainname', async (context) => {
    const outcome = await runShell('cat /proc/sys/kernel/domainname', (spec) => (spec.domainname = 'example.test'));
    // Version 1.0.2 of the specification, which runc 1.1 follows, does not have it.
    if (!ours && outcome.stdout === '(none)\n') context.skip('the runtime follows an older specification');
    expect(outcome.stdout).toBe('example.test\n');
  });

  test('sysctl', async () => {
    const outcome = await runShell(
      'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax',
      (spec) => {
        spec.linux.sysctl = { 'net.ipv4.ip_unprivileged_port_start': '1', 'net.core.somaxconn': '256', 'kernel.shmmax': '4194304' };
      },
    );
    expect(outcome).toMatchObject({ stdout: '1\n256\n4194304\n', status: 0 });
  });

  test.for([
    ['kernel.nosuch', 'kernel.nosuch'],
    ['vm.swappiness', 'vm.swappiness'],
  ])('a parameter of the whole machine or of nobody is refused by name: %s', async ([name, said]) => {
    await using box = await newContainer({ edit: (spec) => (spec.linux.sysctl = { [name!]: '1' }) });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain(said);
  });
});

describe('namespaces', () => {
  test('processes, network and files are the container’s own', async () => {
    const outcome = await runShell('ps -o pid | wc -l; ls /sys/class/net; cat /proc/net/dev | grep -c :; ls -A /home | wc -l');
    // The header, sh, ps and wc.
    expect(outcome.stdout.replaceAll(' ', '')).toBe('4\nlo\n1\n0\n');
  });

  test('loopback is up', async () => {
    const outcome = await runShell('ping -c 1 -W 2 127.0.0.1 | grep -c "1 packets received"', (spec) => {
      for (const set of ['bounding', 'effective', 'permitted'] as const) spec.process.capabilities[set]?.push('CAP_NET_RAW');
    });
    expect(outcome.stdout).toBe('1\n');
  });

  test('a network namespace by its path: its interface, address and routes', async (context) => {
    const name = `tsv${process.pid}`;
    const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' });
    if (ip('netns', 'add', name).status !== 0) context.skip('network namespaces cannot be made here (package iproute2, root)');
    try {
      expect(ip('link', 'add', `${name}h`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name).status).toBe(0);
      ip('addr', 'add', '10.211.7.1/24', 'dev', `${name}h`);
      ip('link', 'set', `${name}h`, 'up');
      for (const args of [
        ['addr', 'add', '10.211.7.2/24', 'dev', 'eth0'],
        ['link', 'set', 'eth0', 'up'],
        ['link', 'set', 'lo', 'up'],
        ['route', 'add', 'default', 'via', '10.211.7.1'],
      ]) {
        expect(ip('-n', name, ...args).status, args.join(' ')).toBe(0);
      }
      const outcome = await runShell(
        'ip -4 -o addr show eth0 | grep -o "inet [0-9./]*"; ip route | grep -c default; ping -c 1 -W 5 10.211.7.1 | grep -c "1 packets received"',
        (spec) => {
          namespace(spec, 'network', `/var/run/netns/${name}`);
          for (const set of ['bounding', 'effective', 'permitted'] as const) spec.process.capabilities[set]?.push('CAP_NET_RAW');
        },
      );
      expect(outcome.stdout, outcome.stderr).toBe('inet 10.211.7.2/24\n1\n1\n');
    } finally {
      ip('netns', 'del', name);
      ip('link', 'del', `${name}h`);
    }
  });

  test('a path that is not there', async () => {
    await using box = await newContainer({ edit: (spec) => namespace(spec, 'network', '/nonexistent/netns') });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('/nonexistent/netns');
  });

  test('a path of another kind of namespace', async () => {
    await using box = await newContainer({ edit: (spec) => namespace(spec, 'network', '/proc/self/ns/uts') });
    expect((await box.create()).status).toBe(1);
  });

  test('a namespace that is named twice', async () => {
    await using box = await newContainer({ edit: (spec) => spec.linux.namespaces.push({ type: 'pid' }) });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('pid');
  });

  test('the namespaces of the host are never entered', async () => {
    const outcome = await runShell('readlink /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/net');
    const host = ['pid', 'mnt', 'net'].map((type) => readlinkSync(`/proc/self/ns/${type}`));
    for (const line of outcome.stdout.trim().split('\n')) expect(host).not.toContain(line);
  });
});

describe('uid and gid mappings', () => {
  test('root inside is another user outside', async () => {
    await using box = await newContainer({
      shell: 'id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /mnt/made; stat -c %u:%g /mnt/made',
      edit(spec, _, bundle) {
        spec.linux.namespaces.push({ type: 'user' });
        spec.linux.uidMappings = [{ containerID: 0, hostID: 300_000, size: 5000 }];
        spec.linux.gidMappings = [{ containerID: 0, hostID: 310_000, size: 5000 }];
        spec.process.noNewPrivileges = false;
        spec.mounts = spec.mounts.filter(({ type }) => type !== 'sysfs' && type !== 'cgroup');
        spec.mounts.push({ destination: '/mnt', type: 'bind', source: `${bundle}/shared`, options: ['bind'] });
        spawnSync('sh', ['-c', `chmod 755 ${bundle}; mkdir ${bundle}/shared; chown 300000:310000 ${bundle}/shared ${bundle}/rootfs`]);
      },
    });
    const outcome = await box.run();
    expect(outcome.stdout.replaceAll(/ +/g, ' '), outcome.stderr).toBe('0\n 0 300000 5000\n 0 310000 5000\n0:0\n');
    expect(spawnSync('stat', ['-c', '%u:%g', `${box.bundle}/shared/made`], { encoding: 'utf8' }).stdout).toBe('300000:310000\n');
  });
});

describe('seccomp', () => {
  type Seccomp = NonNullable<Spec['linux']['seccomp']>;

  function filtered(shell: string, syscalls: Seccomp['syscalls'], defaultAction = 'SCMP_ACT_ALLOW') {
    return runShell(
      shell,
      (spec) => (spec.linux.seccomp = { defaultAction, architectures: ['SCMP_ARCH_X86_64'], syscalls: syscalls ?? [] }),
    );
  }

  test('SCMP_ACT_ERRNO: EPERM, or what errnoRet says', async () => {
    const refused = await filtered('mkdir /tmp/x; echo goes on', [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }]);
    expect(refused.stderr).toContain('Operation not permitted');
    expect(refused.stdout).toBe('goes on\n');
    const other = await filtered('mkdir /tmp/x', [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }]);
    expect(other.stderr).toContain('Function not implemented');
  });

  test('SCMP_ACT_KILL_PROCESS ends by SIGSYS', async () => {
    const outcome = await filtered('sh -c "mkdir /tmp/x"; echo $?', [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_KILL_PROCESS' }]);
    expect(outcome.stdout).toBe('159\n');
  });

  test('SCMP_ACT_TRAP: SIGSYS', async () => {
    const outcome = await filtered('sh -c "mkdir /tmp/x"; echo $?', [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_TRAP' }]);
    expect(outcome.stdout).toBe('159\n');
  });

  test('arguments are compared', async () => {
    // kill(2), argument 1: only signal 10 is refused.
    const syscalls = [{ names: ['kill'], action: 'SCMP_ACT_ERRNO', errnoRet: 22, args: [{ index: 1, value: 10, op: 'SCMP_CMP_EQ' }] }];
    const outcome = await filtered('trap "echo usr2" USR2; kill -USR1 $$; kill -USR2 $$', syscalls);
    expect(outcome.stdout).toBe('usr2\n');
    expect(outcome.stderr).toContain('Invalid argument');
  });

  test('a masked comparison', async () => {
    // openat(2), argument 2: no O_CREAT (0o100).
    const args = [{ index: 2, value: 0o100, valueTwo: 0o100, op: 'SCMP_CMP_MASKED_EQ' }];
    const outcome = await filtered('cat /etc/group | head -1; echo x > /dev/shm/x', [
      { names: ['openat'], action: 'SCMP_ACT_ERRNO', errnoRet: 13, args },
      { names: ['open'], action: 'SCMP_ACT_ERRNO', errnoRet: 13, args: [{ ...args[0]!, index: 1 }] },
    ]);
    expect(outcome.stdout).toBe('root:x:0:\n');
    expect(outcome.stderr).toContain('Permission denied');
  });

  test('it holds for exec and for children, and is shown in /proc', async () => {
    await using box = await newContainer({
      edit(spec) {
        spec.linux.seccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }] };
      },
    });
    await box.createAndStart();
    expect((await box.exec(['sh', '-c', 'sh -c "mkdir /dev/shm/x"'])).stderr).toContain('Operation not permitted');
    expect((await box.exec(['grep', '-w', 'Seccomp:', '/proc/self/status'])).stdout).toBe('Seccomp:\t2\n');
  });

  test('names that no kernel has are passed over', async () => {
    expect(await filtered('echo runs', [{ names: ['no_such_call'], action: 'SCMP_ACT_ERRNO' }])).toMatchObject({
      status: 0,
      stdout: 'runs\n',
    });
  });

  test('an action that nobody knows', async () => {
    await using box = await newContainer({ edit: (spec) => (spec.linux.seccomp = { defaultAction: 'SCMP_ACT_BOGUS' }) });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('SCMP_ACT_BOGUS');
  });
});
