import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MS_NODEV, MS_NOSUID, MS_RDONLY } from '#sentry/abi/fs.ts';
import { MS_BIND, MS_PRIVATE, MS_REC, MS_SLAVE } from '#sentry/abi/mount.ts';
import { RLIMIT_MEMLOCK, RLIMIT_NOFILE } from '#sentry/abi/resource.ts';
import { CAP_CHOWN, CAP_LAST_CAP } from '#sentry/vfs/credentials.ts';
import { UserError } from '../../errors.ts';
import { CAPABILITY_NAMES } from './capability-names.ts';
import { readConfig, readProcess, readResources } from './read.ts';
import type { ContainerConfig } from './types.ts';

type Json = Record<string, unknown>;

/** A configuration that says the least, with `process` and `linux` changed. */
function minimal({ process = {}, linux = {}, ...top }: { process?: Json; linux?: Json } & Json = {}): string {
  return JSON.stringify({
    ociVersion: '1.2.0',
    root: { path: 'rootfs' },
    process: { args: ['/bin/true'], cwd: '/', ...process },
    linux: { namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })), ...linux },
    ...top,
  });
}

function read(changes?: Parameters<typeof minimal>[0]): { config: ContainerConfig; warnings: string[] } {
  return readConfig(minimal(changes), '/bundle');
}

/** What is wrong with a configuration. */
function complaint(changes: Parameters<typeof minimal>[0]): string {
  try {
    read(changes);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

describe('defaults', () => {
  it('are filled in for the smallest configuration', () => {
    const { config, warnings } = read();
    expect(warnings).toEqual([]);
    expect(config.root).toEqual({ path: '/bundle/rootfs', readonly: false });
    expect(config.process).toEqual({
      terminal: false,
      consoleSize: null,
      user: { uid: 0, gid: 0, umask: null, additionalGids: [] },
      args: ['/bin/true'],
      env: [],
      cwd: '/',
      capabilities: null,
      rlimits: [],
      noNewPrivileges: false,
      oomScoreAdj: null,
    });
    expect(config.hooks.prestart).toEqual([]);
    expect(config.pod).toEqual({ role: 'single', sandboxId: null });
    expect(config.linux.namespaces.network).toEqual({ path: null });
    expect(config.linux.namespaces.user).toBeNull();
    expect(config.linux.resources).toMatchObject({ memory: { limit: null }, cpu: { quota: null }, pidsLimit: null, unified: {} });
  });

  it('stand for null as well', () => {
    expect(read({ process: { env: null, user: null }, linux: { resources: null, seccomp: null }, hooks: null, mounts: null })).toEqual(
      read(),
    );
  });

  it('allow a container without a process', () => {
    expect(readConfig('{"ociVersion":"1.0.0","root":{"path":"/r"}}', '/b').config.process).toBeNull();
  });
});

describe('values', () => {
  it('become byte strings where the guest sees them', () => {
    const { config } = read({ process: { args: ['é'], env: ['A=é'] }, hostname: 'h', annotations: { a: 'é' } });
    expect([config.process!.args, config.process!.env, config.annotations]).toEqual([['Ã©'], ['A=Ã©'], { a: 'é' }]);
  });

  it('keep the last of two variables of a name', () => {
    expect(read({ process: { env: ['A=1', 'B=2', 'A=3'] } }).config.process!.env).toEqual(['A=3', 'B=2']);
  });

  it('become numbers: capabilities and limits', () => {
    const sets = { bounding: CAPABILITY_NAMES, effective: ['CAP_CHOWN'], permitted: ['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE'] };
    const rlimits = '[{"type":"RLIMIT_NOFILE","soft":1024,"hard":4096},{"type":"RLIMIT_MEMLOCK","soft":64,"hard":18446744073709551615}]';
    const { config } = read({ process: { capabilities: sets, rlimits: JSON.parse('[]') } });
    expect(config.process!.capabilities).toEqual({
      bounding: { low: 0xffff_ffff, high: 2 ** (CAP_LAST_CAP - 31) - 1 },
      effective: { low: 1 << CAP_CHOWN, high: 0 },
      inheritable: { low: 0, high: 0 },
      permitted: { low: 1 << CAP_CHOWN, high: 1 << (CAP_LAST_CAP - 32) },
      ambient: { low: 0, high: 0 },
    });
    expect(readProcess(`{"args":["a"],"cwd":"/","rlimits":${rlimits}}`).process.rlimits).toEqual([
      { resource: RLIMIT_NOFILE, soft: 1024, hard: 4096 },
      { resource: RLIMIT_MEMLOCK, soft: 64, hard: Infinity },
    ]);
  });

  it('of mounts: flags, what they take back, propagation and the rest', () => {
    const options = ['rbind', 'ro', 'nosuid', 'suid', 'nodev', 'rslave', 'rro', 'rexec'];
    const mounts = [
      { destination: '/a/./b/../c/', source: 'data', options },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k', 'tmpcopyup'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup2', source: 'cgroup' },
    ];
    const [bind, tmpfs, cgroup] = read({ mounts }).config.mounts;
    expect(bind).toEqual({
      destination: '/a/c',
      type: 'bind',
      source: '/bundle/data',
      flags: MS_BIND | MS_REC | MS_RDONLY | MS_NODEV,
      clearedFlags: MS_NOSUID,
      recursiveFlags: MS_RDONLY,
      recursiveClearedFlags: 8,
      propagation: [MS_SLAVE | MS_REC],
      data: '',
      copyUp: false,
    });
    expect(tmpfs).toMatchObject({ type: 'tmpfs', data: 'mode=755,size=65536k', copyUp: true });
    expect(cgroup).toMatchObject({ type: 'cgroup', source: 'cgroup' });
  });

  it('of 64 bits stay exact', () => {
    const rule = '{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":18446744073709551614,"op":"SCMP_CMP_EQ"}]}';
    const seccomp = JSON.parse('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":["RULE"]}') as Json;
    const text = minimal({ linux: { namespaces: [{ type: 'pid' }, { type: 'ipc' }, { type: 'mount' }], seccomp } }).replace('"RULE"', rule);
    const { syscalls } = readConfig(text, '/').config.linux.seccomp!;
    expect(syscalls[0]!.args[0]).toEqual({
      index: 1,
      value: { low: 0xffff_fffe, high: 0xffff_ffff },
      valueTwo: { low: 0, high: 0 },
      op: 'SCMP_CMP_EQ',
    });
  });

  it('of linux', () => {
    const { linux } = read({
      linux: {
        namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'network', path: '/run/netns/x' }],
        sysctl: { 'net/ipv4/conf/eth0.1/forwarding': '1', 'kernel.msgmax': '1000' },
        rootfsPropagation: 'rprivate',
        personality: { domain: 'LINUX32' },
        devices: [{ path: '/dev//fuse', type: 'c', major: 10, minor: 229, fileMode: 0o20_644 }],
        resources: {
          pids: { limit: -1 },
          memory: { limit: 2 ** 40 },
          devices: [{ allow: false, access: 'rwm' }],
          unified: { 'memory.high': 'max' },
        },
      },
    }).config;
    expect(linux.namespaces.network).toEqual({ path: '/run/netns/x' });
    expect(linux.sysctl).toEqual([
      { name: 'net.ipv4.conf.eth0/1.forwarding', value: '1' },
      { name: 'kernel.msgmax', value: '1000' },
    ]);
    expect([linux.rootfsPropagation, linux.personality]).toEqual([MS_PRIVATE | MS_REC, 8]);
    expect(linux.devices).toEqual([{ path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o644, uid: 0, gid: 0 }]);
    expect(linux.resources).toMatchObject({ pidsLimit: -1, memory: { limit: 2 ** 40 }, unified: { 'memory.high': 'max' } });
    expect(linux.resources.devices).toEqual([{ allow: false, type: 'a', major: null, minor: null, access: 'rwm' }]);
  });

  it('of hooks and pods', () => {
    const { config } = read({
      hooks: { prestart: [{ path: '/h' }], poststop: [{ path: '/p', args: ['p', 'x'], env: ['A=b'], timeout: 3 }] },
      annotations: { 'io.kubernetes.cri.container-type': 'container', 'io.kubernetes.cri.sandbox-id': 'abc' },
    });
    expect(config.hooks.prestart).toEqual([{ path: '/h', args: ['/h'], env: null, timeoutMs: null }]);
    expect(config.hooks.poststop).toEqual([{ path: '/p', args: ['p', 'x'], env: ['A=b'], timeoutMs: 3000 }]);
    expect(config.pod).toEqual({ role: 'member', sandboxId: 'abc' });
  });
});

const tmpfs = { destination: '/t', type: 'tmpfs' };
const cap = 'config.json: process.capabilities';
const complaints: readonly [changes: Parameters<typeof minimal>[0], message: string][] = [
  [{ ociVersion: 1 }, 'config.json: ociVersion must be a string, not 1'],
  [{ ociVersion: '2.0.0' }, 'config.json: ociVersion must be 1.x: other versions of the specification are not supported, such as "2.0.0"'],
  [{ ociVersion: 'new' }, 'config.json: ociVersion must be a version such as 1.2.1, not "new"'],
  [{ root: undefined }, 'config.json: root is missing'],
  [{ root: { path: '' } }, 'config.json: root.path must not be empty'],
  [{ root: { path: '/r', readonly: 'yes' } }, 'config.json: root.readonly must be true or false, not "yes"'],
  [{ root: { path: '/r', Readonly: true } }, 'config.json: root.Readonly must be written readonly'],
  [{ process: { args: undefined } }, 'config.json: process.args is missing'],
  [{ process: { args: [] } }, 'config.json: process.args must have at least one entry, the program'],
  [{ process: { args: 'sh' } }, 'config.json: process.args must be a list, not "sh"'],
  [{ process: { args: [1] } }, 'config.json: process.args[0] must be a string, not 1'],
  [{ process: { args: ['a\0b'] } }, 'config.json: process.args[0] must not contain a null character'],
  [{ process: { cwd: undefined } }, 'config.json: process.cwd is missing'],
  [{ process: { cwd: 'tmp' } }, 'config.json: process.cwd must be an absolute path, not "tmp"'],
  [{ process: { env: ['A'] } }, 'config.json: process.env[0] must have the form NAME=VALUE, not "A"'],
  [{ process: { env: ['=A'] } }, 'config.json: process.env[0] must have the form NAME=VALUE, not "=A"'],
  [{ process: { user: { uid: -1 } } }, 'config.json: process.user.uid must be between 0 and 4294967295, not -1'],
  [{ process: { user: { uid: 1.5 } } }, 'config.json: process.user.uid must be a whole number, not 1.5'],
  [{ process: { user: { umask: 512 } } }, 'config.json: process.user.umask must be between 0 and 511, not 512'],
  [{ process: { user: 'root' } }, 'config.json: process.user must be an object, not "root"'],
  [{ process: { terminal: true, consoleSize: { height: 24 } } }, 'config.json: process.consoleSize.width is missing'],
  [{ process: { oomScoreAdj: 1001 } }, 'config.json: process.oomScoreAdj must be between -1000 and 1000, not 1001'],
  [
    { process: { rlimits: [{ type: 'RLIMIT_X', soft: 1, hard: 1 }] } },
    'config.json: process.rlimits[0].type must be RLIMIT_CPU, RLIMIT_FSIZE',
  ],
  [
    { process: { rlimits: [{ type: 'RLIMIT_CPU', soft: 2, hard: 1 }] } },
    'config.json: process.rlimits[0].soft must not be above the hard limit: 2 > 1',
  ],
  [
    { process: { rlimits: [{ type: 'RLIMIT_CPU' }, { type: 'RLIMIT_CPU' }] } },
    'config.json: process.rlimits[1].type is limited twice: see also [0]',
  ],
  [{ process: { capabilities: { effective: ['CAP_CHOWN'] } } }, `${cap}.effective has capabilities that permitted does not have`],
  [{ process: { capabilities: [] } }, `${cap} must be an object, not a list`],
  [{ hostname: 'x'.repeat(65) }, 'config.json: hostname must have at most 64 bytes, not 65'],
  [{ mounts: [{}] }, 'config.json: mounts[0].destination is missing'],
  [{ mounts: [{ destination: '/x' }] }, 'config.json: mounts[0].type must be bind, cgroup, cgroup2, devpts'],
  [{ mounts: [{ destination: '/x', type: 'ext4' }] }, 'tmpfs, not "ext4": the sandbox has no other file systems'],
  [{ mounts: [{ destination: '/x', options: ['bind'] }] }, 'config.json: mounts[0].source is missing: a bind mount shows'],
  [{ mounts: [{ ...tmpfs, options: ['idmap'] }] }, 'config.json: mounts[0].options[0] "idmap" asks for an id-mapped mount'],
  [{ mounts: [{ ...tmpfs, options: ['ro', 'nosymfollow'] }] }, 'config.json: mounts[0].options[1] "nosymfollow" is not supported'],
  [
    { mounts: [{ ...tmpfs, options: ['colour=1'] }] },
    'config.json: mounts[0].options has "colour=1", which is neither a mount option nor one of tmpfs',
  ],
  [{ mounts: [{ ...tmpfs, uidMappings: [{}] }] }, 'config.json: mounts[0].uidMappings asks for an id-mapped mount'],
  [{ hooks: { prestart: [{}] } }, 'config.json: hooks.prestart[0].path is missing'],
  [{ hooks: { prestart: [{ path: 'x' }] } }, 'config.json: hooks.prestart[0].path must be an absolute path, not "x"'],
  [{ hooks: { poststop: [{ path: '/x', timeout: 0 }] } }, 'config.json: hooks.poststop[0].timeout must be between 1 and 1000000, not 0'],
  [{ annotations: { a: 1 } }, 'config.json: annotations.a must be a string, not 1'],
  [{ annotations: { '': 'x' } }, 'config.json: annotations must not have an empty name'],
  [
    { annotations: { 'io.kubernetes.cri.container-type': 'x' } },
    'config.json: annotations."io.kubernetes.cri.container-type" must be sandbox or container',
  ],
  [{ annotations: { 'io.kubernetes.cri.container-type': 'container' } }, 'annotations."io.kubernetes.cri.sandbox-id" is missing'],
  [{ vm: { kernel: {} } }, 'config.json: vm asks for a virtual machine, which this runtime does not start'],
  [
    { linux: { namespaces: [{ type: 'x' }] } },
    'config.json: linux.namespaces[0].type must be pid, network, mount, ipc, uts, user, cgroup or time, not "x"',
  ],
  [{ linux: { namespaces: [{ type: 'pid' }, { type: 'pid' }] } }, 'config.json: linux.namespaces[1].type must not be listed twice: pid'],
  [{ linux: { namespaces: [{ type: 'network', path: 'x' }] } }, 'config.json: linux.namespaces[0].path must be an absolute path'],
  [
    { linux: { namespaces: [{ type: 'ipc', path: '/proc/1/ns/ipc' }] } },
    'config.json: linux.namespaces asks to join an existing namespace of type ipc',
  ],
  [{ linux: { namespaces: [{ type: 'user' }] } }, 'config.json: linux.uidMappings is missing'],
  [{ linux: { uidMappings: [{ containerID: 0, hostID: 1, size: 1 }] } }, 'config.json: linux.uidMappings needs a namespace of type user'],
  [{ linux: { uidMappings: [{ containerID: 0, hostID: 1, size: 0 }] } }, 'config.json: linux.uidMappings[0].size must be between 1 and'],
  [
    { linux: { uidMappings: [0, 5].map((id) => ({ containerID: id, hostID: 100 * id, size: 10 })) } },
    'config.json: linux.uidMappings[1].containerID overlaps with [0]',
  ],
  [{ linux: { devices: [{ path: '/dev/x', type: 'x' }] } }, 'config.json: linux.devices[0].type must be c, u, b or p, not "x"'],
  [{ linux: { devices: [{ path: 'dev/x', type: 'c' }] } }, 'config.json: linux.devices[0].path must be an absolute path, not "dev/x"'],
  [{ linux: { netDevices: { eth0: {} } } }, 'config.json: linux.netDevices is not supported'],
  [{ linux: { timeOffsets: { monotonic: { secs: 1 } } } }, 'config.json: linux.timeOffsets is not supported'],
  [{ linux: { intelRdt: { closID: 'x' } } }, 'config.json: linux.intelRdt is not supported'],
  [{ linux: { rootfsPropagation: 'rpublic' } }, 'config.json: linux.rootfsPropagation must be '],
  [{ linux: { personality: { domain: 'BSD' } } }, 'config.json: linux.personality.domain must be LINUX or LINUX32, not "BSD"'],
  [{ linux: { maskedPaths: ['proc'] } }, 'config.json: linux.maskedPaths[0] must be an absolute path, not "proc"'],
  [{ linux: { maskedPaths: ['/x'], namespaces: [] } }, 'config.json: linux.maskedPaths needs a namespace of type mount'],
  [{ linux: { namespaces: [] }, hostname: 'x' }, 'config.json: hostname needs a namespace of type uts'],
  [{ linux: { sysctl: { 'vm.swappiness': '1' } } }, 'config.json: linux.sysctl."vm.swappiness" is a setting of the whole machine'],
  [{ linux: { sysctl: { 'kernel.hostname': 'x' } } }, 'config.json: linux.sysctl."kernel.hostname" must be given as the field hostname'],
  [{ linux: { sysctl: { '../../etc/passwd': 'x' } } }, 'is not the name of a sysctl'],
  [{ linux: { sysctl: { 'net.x': 'x' }, namespaces: [] } }, 'config.json: linux.sysctl."net.x" needs a namespace of type network'],
  [{ linux: { seccomp: { defaultAction: 'ALLOW' } } }, 'config.json: linux.seccomp.defaultAction must be '],
  [{ linux: { seccomp: { syscalls: [{ names: ['a'], action: 'SCMP_ACT_LOG' }] } } }, 'config.json: linux.seccomp.defaultAction is missing'],
  [
    { linux: { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['X'] } } },
    'config.json: linux.seccomp.architectures[0] must be ',
  ],
  [{ linux: { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', flags: ['X'] } } }, 'config.json: linux.seccomp.flags[0] must be '],
  [
    { linux: { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['x'] }] } } },
    'config.json: linux.seccomp.syscalls[0].action is missing',
  ],
  [{ linux: { resources: { memory: { limit: 'x' } } } }, 'config.json: linux.resources.memory.limit must be a whole number, not "x"'],
  [
    { linux: { resources: { memory: { swappiness: 101 } } } },
    'config.json: linux.resources.memory.swappiness must be between 0 and 100, not 101',
  ],
  [{ linux: { resources: { cpu: { cpus: '0-' } } } }, 'config.json: linux.resources.cpu.cpus must be a list such as 0-3,5, not "0-"'],
  [{ linux: { resources: { devices: [{ allow: true }] } } }, 'config.json: linux.resources.devices[0].access is missing'],
  [
    { linux: { resources: { unified: { '../x': '1' } } } },
    'config.json: linux.resources.unified."../x" is not the name of a control group file',
  ],
  [
    { linux: { resources: { hugepageLimits: [{ pageSize: '2', limit: 1 }] } } },
    'config.json: linux.resources.hugepageLimits[0].pageSize must be a size such as 2MB',
  ],
];

describe('a message', () => {
  it.each(complaints)('%j: %s', (changes, message) => {
    expect(complaint(changes)).toContain(message);
  });

  it('tells what is wrong with the file itself', () => {
    expect(() => readConfig('{"a":', '/')).toThrow('config.json is not valid JSON: ');
    expect(() => readConfig(`${'['.repeat(1e6)}1234567890123456${']'.repeat(1e6)}`, '/')).toThrow('config.json is not valid JSON: ');
    expect(() => readConfig('[]', '/')).toThrow('config.json must be an object, not a list');
    expect(() => readResources('{"pids":1}')).toThrow('resources: pids must be an object, not 1');
    expect(() => readProcess('{}')).toThrow('process: args is missing');
  });
});

const warned: readonly [changes: Parameters<typeof minimal>[0], warning: string][] = [
  [{ colour: 1 }, 'config.json: colour is not a field of the specification and is ignored'],
  [{ process: { capabilities: { bounding: ['CAP_X'] } } }, `${cap}.bounding[0] is not a known capability and is not granted: "CAP_X"`],
  [{ process: { apparmorProfile: 'docker-default' } }, 'config.json: process.apparmorProfile is not applied'],
  [{ process: { selinuxLabel: 'a:b:c' } }, 'config.json: process.selinuxLabel is not applied'],
  [{ process: { scheduler: { policy: 'SCHED_FIFO' } } }, 'config.json: process.scheduler has no effect'],
  [{ process: { ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 1 } } }, 'config.json: process.ioPriority has no effect'],
  [{ process: { execCPUAffinity: { initial: '0' } } }, 'config.json: process.execCPUAffinity has no effect'],
  [{ mounts: [{ destination: 'x', type: 'proc' }] }, 'config.json: mounts[0].destination is relative, which is deprecated'],
  [
    { mounts: [{ destination: '/x', source: '/y', options: ['bind', 'size=1'] }] },
    'config.json: mounts[0].options has no effect on a bind mount: "size=1"',
  ],
  [{ linux: { rootfsPropagation: 'rshared' } }, 'config.json: linux.rootfsPropagation asks to share mounts with the host'],
  [
    { mounts: [{ destination: '/x', source: '/y', options: ['bind', 'rslave'] }] },
    'config.json: mounts[0].options asks to share mounts with the host',
  ],
  [{ linux: { mountLabel: 'x' } }, 'config.json: linux.mountLabel is not applied'],
  [{ linux: { resources: { network: { classID: 1 } } } }, 'config.json: linux.resources.network is not applied'],
  [{ linux: { resources: { rdma: { a: {} } } } }, 'config.json: linux.resources.rdma is not applied'],
  [{ linux: { resources: { memory: { kernel: 1 } } } }, 'config.json: linux.resources.memory.kernel is ignored'],
  [{ linux: { namespaces: [{ type: 'mount' }, { type: 'ipc' }] } }, 'config.json: linux.namespaces does not list pid'],
  [{ windows: { layerFolders: ['x'] } }, 'config.json: windows is for another operating system'],
];

describe('a warning', () => {
  it.each(warned)('%j: %s', (changes, warning) => {
    expect(read(changes).warnings).toEqual([expect.stringContaining(warning)]);
  });

  it('is not given for what asks for nothing', () => {
    const process = { apparmorProfile: 'unconfined', selinuxLabel: '', scheduler: null };
    expect(read({ process, linux: { mountLabel: '', resources: { rdma: {}, network: {} } } }).warnings).toEqual([]);
  });
});

// --- what clients write

function available(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Keeps the configuration it is started with and fails. */
const GRABBING_RUNTIME = `#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --bundle ] && cp "$2/config.json" "$(dirname "$0")/config.json"; shift; done
exit 1
`;

function inScratch<T>(use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'tsvisor-config-'));
  try {
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function runcConfig(options: string[]): string {
  return inScratch((directory) => {
    execFileSync('runc', ['spec', ...options], { cwd: directory });
    return readFileSync(join(directory, 'config.json'), 'utf8');
  });
}

function podmanConfig(options: string[]): string {
  return inScratch((directory) => {
    const runtime = join(directory, 'runtime');
    const storage = ['--root', join(directory, 'storage'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs'];
    mkdirSync(join(directory, 'rootfs'));
    writeFileSync(runtime, GRABBING_RUNTIME);
    chmodSync(runtime, 0o755);
    const podman = (...args: string[]) =>
      execFileSync('podman', [...storage, '--cgroup-manager', 'cgroupfs', '--runtime', runtime, ...args], { stdio: 'ignore' });
    try {
      podman('run', '--net', 'none', ...options, '--rootfs', join(directory, 'rootfs'), 'true');
    } catch {
      // The runtime fails; podman has written the configuration by then.
    }
    podman('rm', '--all', '--force');
    return readFileSync(join(directory, 'config.json'), 'utf8');
  });
}

describe.skipIf(!available('runc'))('the configuration that runc writes', () => {
  it.each([[[]], [['--rootless']]])('%j is accepted', (options) => {
    const { config } = readConfig(runcConfig(options), '/bundle');
    expect(config.process!.args).toEqual(['sh']);
    expect(config.mounts.map(({ destination }) => destination)).toContain('/proc');
  });
});

describe.skipIf(!available('podman') || process.getuid!() !== 0)('the configuration that podman writes', () => {
  const options = [
    '--memory 100m --pids-limit 50 --read-only --tmpfs /x:size=10m -v /tmp:/t:ro',
    '--privileged',
    '--user 1:2 --cap-drop all --hostname h',
  ];
  it.each(options)('with %s is accepted without a warning', (line) => {
    expect(readConfig(podmanConfig(line.split(' ')), '/bundle').warnings).toEqual([]);
  });
});

// --- anything else

const valid = (): unknown =>
  JSON.parse(
    minimal({
      process: {
        capabilities: { bounding: ['CAP_KILL'] },
        rlimits: [{ type: 'RLIMIT_CPU', soft: 1, hard: 2 }],
        user: { additionalGids: [1] },
      },
      mounts: [{ destination: '/x', source: '/y', options: ['bind', 'rprivate'], uidMappings: [] }],
      hooks: { poststart: [{ path: '/x', timeout: 1 }] },
      annotations: { a: 'b' },
      linux: {
        namespaces: [{ type: 'user', path: '' }],
        uidMappings: [{ containerID: 0, hostID: 0, size: 1 }],
        gidMappings: [{ containerID: 0, hostID: 0, size: 1 }],
        devices: [{ path: '/dev/x', type: 'c', major: 1, minor: 1 }],
        resources: { devices: [{ access: 'r' }], cpu: { shares: 1 }, blockIO: { weightDevice: [{ major: 1, minor: 1 }] }, unified: {} },
        seccomp: {
          defaultAction: 'SCMP_ACT_LOG',
          syscalls: [{ names: ['x'], action: 'SCMP_ACT_KILL', args: [{ index: 0, value: 1, op: 'SCMP_CMP_NE' }] }],
        },
        sysctl: {},
        personality: { domain: 'LINUX' },
      },
    }),
  );

/** Every place of a document, as the names that lead there. */
function places(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, member]) => places(member, [...path, name]))];
}

function replaced(value: unknown, [name, ...rest]: string[], by: unknown): unknown {
  if (name === undefined) return by;
  // An earlier change has removed the place.
  if (typeof value !== 'object' || value === null) return value;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as Json) }) as Json;
  copy[name] = replaced(copy[name], rest, by);
  return copy;
}

/** Null when a configuration is accepted; what is thrown must be meant for a person. */
function refusal(contents: string): string | null {
  try {
    readConfig(contents, '/bundle');
    return null;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

describe('any document', () => {
  it('is accepted or refused with a message, never with an internal error', () => {
    const all = places(valid());
    const strange = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom('', '\0', '__proto__', -1, 2 ** 53, 1e308, '\ud800', [[]], [null], { constructor: 1 }, { ['__proto__']: 1 }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(all.length - 1), strange), { minLength: 1, maxLength: 3 }), (changes) => {
        let document = valid();
        for (const [index, by] of changes) document = replaced(document, all[index]!, by);
        expect(refusal(JSON.stringify(document)) ?? 'config.json').toMatch(/^config\.json/);
      }),
      { numRuns: 3000 },
    );
  });

  it('of broken text is refused with a message', () => {
    const whole = JSON.stringify(valid());
    fc.assert(
      fc.property(fc.nat(whole.length), fc.string(), fc.nat(20), (at, insert, removed) => {
        expect(refusal(whole.slice(0, at) + insert + whole.slice(at + removed)) ?? 'config.json').toMatch(/^config\.json/);
      }),
      { numRuns: 1000 },
    );
  });
});
