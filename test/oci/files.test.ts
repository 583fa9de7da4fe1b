/** What the container sees as its files: the root, mounts of every kind with their options, devices, masked and read-only paths, propagation. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newContainer, runShell, type Setup } from './harness/container.ts';
import { mountsBeneath } from './harness/remove-tree.ts';
import { ours } from './harness/runtime.ts';
import type { Spec, SpecMount } from './harness/spec.ts';

/** Adds a mount whose source, if it starts with `./`, is a path of the bundle. */
function mount(spec: Spec, bundle: string, entry: SpecMount): void {
  spec.mounts.push({ ...entry, source: entry.source?.replace(/^\.\//, `${bundle}/`) ?? 'none' });
}

/** Runs a line with one more mount; `prepare` makes what it is of. */
function runWithMount(shell: string, entry: SpecMount, prepare: (bundle: string) => void = () => undefined) {
  return runShell(shell, (spec, _, bundle) => {
    prepare(bundle);
    mount(spec, bundle, entry);
  });
}

const shared = (bundle: string) => {
  mkdirSync(join(bundle, 'shared/deep'), { recursive: true });
  writeFileSync(join(bundle, 'shared/file'), 'of the host\n');
};

describe('the root', () => {
  test('read-only', async () => {
    const outcome = await runShell('echo x > /etc/new; touch /new; mkdir /d; rm /etc/passwd; ls /etc/passwd');
    expect(outcome.stderr.match(/Read-only file system/g)?.length).toBe(4);
    expect(outcome.stdout).toBe('/etc/passwd\n');
  });

  test('writable: changes are in the bundle', async () => {
    await using box = await newContainer({
      shell: 'echo new > /etc/new; rm /etc/group; mkdir -p /a/b',
      edit: (spec) => (spec.root.readonly = false),
    });
    expect(await box.run()).toMatchObject({ status: 0 });
    expect(box.read('rootfs/etc/new')).toBe('new\n');
    expect(box.read('rootfs/etc/group')).toBe('');
  });

  test('an absolute path, and one through a symbolic link', async () => {
    const absolute = await runShell('cat /etc/group', (spec, rootfs) => (spec.root.path = rootfs));
    expect(absolute.stdout).toContain('nogroup');
    const linked = await runShell('cat /etc/group', (spec, _, bundle) => {
      symlinkSync('rootfs', join(bundle, 'link'));
      spec.root.path = 'link';
    });
    expect(linked.stdout + linked.stderr).toMatch(/nogroup|symlink/);
  });

  test('nothing above it can be reached', async () => {
    const outcome = await runShell('ls /..; cd ../../../../..; ls -d config.json; ls /proc/1/root/config.json');
    expect(outcome.stdout).toContain('bin\n');
    expect(outcome.stderr.match(/No such file/g)?.length).toBe(2);
  });
});

describe('bind mounts', () => {
  test('a directory, writable', async () => {
    await using box = await newContainer({
      shell: 'cat /mnt/file; echo new > /mnt/new; mkdir /mnt/dir',
      edit(spec, _, bundle) {
        shared(bundle);
        mount(spec, bundle, { destination: '/mnt', type: 'bind', source: './shared', options: ['rbind', 'rw'] });
      },
    });
    expect(await box.run()).toMatchObject({ status: 0, stdout: 'of the host\n' });
    expect(box.read('shared/new')).toBe('new\n');
  });

  test('what the host changes meanwhile is seen', async () => {
    await using box = await newContainer({
      shell: 'echo ready; while ! test -e /mnt/late; do sleep 0.02; done; cat /mnt/late',
      edit(spec, _, bundle) {
        shared(bundle);
        mount(spec, bundle, { destination: '/mnt', type: 'bind', source: './shared', options: ['bind'] });
      },
    });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toBe('ready\n');
    writeFileSync(join(box.bundle, 'shared/tmp'), 'came later\n');
    // Whole at once.
    renameSync(join(box.bundle, 'shared/tmp'), join(box.bundle, 'shared/late'));
    expect(await box.output()).toBe('ready\ncame later\n');
  });

  test('read-only', async () => {
    const options = ['rbind', 'ro'];
    const outcome = await runWithMount(
      'cat /mnt/file; touch /mnt/new; rm /mnt/file',
      { destination: '/mnt', type: 'bind', source: './shared', options },
      shared,
    );
    expect(outcome.stdout).toBe('of the host\n');
    expect(outcome.stderr.match(/Read-only file system/g)?.length).toBe(2);
  });

  test('a single file over a file, and at a path that is made for it', async () => {
    const entry = { type: 'bind', source: './shared/file', options: ['bind', 'ro'] };
    expect((await runWithMount('cat /etc/group', { ...entry, destination: '/etc/group' }, shared)).stdout).toBe('of the host\n');
    expect((await runWithMount('cat /new/deep/file', { ...entry, destination: '/new/deep/file' }, shared)).stdout).toBe('of the host\n');
  });

  test('nosuid, nodev, noexec', async () => {
    const options = ['bind', 'nosuid', 'nodev', 'noexec'];
    const outcome = await runWithMount(
      'cp /bin/busybox /mnt/ls; /mnt/ls /; grep " /mnt " /proc/mounts | cut -d" " -f4',
      { destination: '/mnt', type: 'bind', source: './shared', options },
      shared,
    );
    expect(outcome.stderr).toMatch(/Permission denied/);
    expect(outcome.stdout.trim().split(',')).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'noexec']));
  });

  test('mounts are made in the order of the file, over one another', async () => {
    const outcome = await runShell('ls /mnt /mnt/deep', (spec, _, bundle) => {
      shared(bundle);
      mount(spec, bundle, { destination: '/mnt', type: 'bind', source: './shared', options: ['bind'] });
      mount(spec, bundle, { destination: '/mnt/deep', type: 'tmpfs', options: ['mode=700'] });
    });
    expect(outcome).toMatchObject({ status: 0, stdout: '/mnt:\ndeep\nfile\n\n/mnt/deep:\n' });
  });

  test('a source that is not there', async () => {
    await using box = await newContainer({
      edit: (spec) => spec.mounts.push({ destination: '/mnt', type: 'bind', source: '/nonexistent/source', options: ['bind'] }),
    });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('/nonexistent/source');
    expect(mountsBeneath(box.bundle)).toEqual([]);
  });

  test('a destination cannot leave the root through a symbolic link', async () => {
    await using box = await newContainer({
      shell: 'cat /escape/file; ls /outside',
      edit(spec, rootfs, bundle) {
        shared(bundle);
        mkdirSync(join(bundle, 'outside'));
        symlinkSync('../outside', join(rootfs, 'escape'));
        mount(spec, bundle, { destination: '/escape', type: 'bind', source: './shared', options: ['bind'] });
      },
    });
    expect(await box.run()).toMatchObject({ status: 0, stdout: 'of the host\nfile\n'.replace('file\n', 'deep\nfile\n') });
  });
});

describe('file systems', () => {
  test('tmpfs with size and mode', async () => {
    const options = ['size=1m', 'mode=1750', 'nosuid'];
    const outcome = await runWithMount('stat -c %a /fresh; dd if=/dev/zero of=/fresh/f bs=64k count=32', {
      destination: '/fresh',
      type: 'tmpfs',
      source: 'tmpfs',
      options,
    });
    expect(outcome.stdout).toBe('1750\n');
    expect(outcome.stderr).toContain('No space left on device');
  });

  test('a tmpfs without a mode has that of the directory it covers, or anybody may write to it', async () => {
    const entry = { type: 'tmpfs', source: 'tmpfs', options: ['nosuid'] };
    const outcome = await runShell('stat -c "%a %n" /fresh /fresh/below /kept', (spec, rootfs, bundle) => {
      mkdirSync(join(rootfs, 'kept'), { mode: 0o751 });
      for (const destination of ['/fresh', '/fresh/below', '/kept']) mount(spec, bundle, { ...entry, destination });
    });
    expect(outcome).toMatchObject({ status: 0, stdout: '1777 /fresh\n1777 /fresh/below\n751 /kept\n' });
  });

  test('proc, sysfs, devpts, mqueue, shm of the default', async () => {
    const outcome = await runShell('cut -d" " -f2,3 /proc/mounts | sort');
    const mounts = outcome.stdout.trim().split('\n');
    for (const entry of ['/proc proc', '/dev tmpfs', '/dev/pts devpts', '/dev/shm tmpfs', '/dev/mqueue mqueue', '/sys sysfs'])
      expect(mounts).toContain(entry);
  });

  test('/dev: the devices and links that every container has', async () => {
    const outcome = await runShell(
      'for d in null zero full random urandom tty ptmx; do test -c /dev/$d || echo no $d; done; for l in fd stdin stdout stderr; do readlink /dev/$l; done',
    );
    expect(outcome.stdout).toBe('/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n');
    const used = await runShell('echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo x > /dev/full; head -c 8 /dev/urandom | wc -c');
    expect(used.stdout.replaceAll(' ', '')).toBe('3\n8\n');
    expect(used.stderr).toContain('No space left');
  });

  test('linux.devices', async () => {
    const outcome = await runShell('stat -c "%F %a %u %g" /dev/mine; head -c 2 /dev/mine | wc -c', (spec) => {
      spec.linux.devices = [{ path: '/dev/mine', type: 'c', major: 1, minor: 5, fileMode: 0o640, uid: 7, gid: 8 }];
      const resources = (spec.linux.resources ??= {}) as { devices?: object[] };
      (resources.devices ??= []).push({ allow: true, type: 'c', major: 1, minor: 5, access: 'rwm' });
      spec.process.user = { uid: 7, gid: 8 };
    });
    expect(outcome.stdout.replace(/ +2/, '2')).toBe('character special file 640 7 8\n2\n');
  });

  test('a mount type that nobody knows is refused by name', async () => {
    await using box = await newContainer({ edit: (spec) => spec.mounts.push({ destination: '/mnt', type: 'nosuchfs', source: 'x' }) });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(ours ? /nosuchfs/ : /no such device/);
  });

  test('cgroup: the container’s own limits at /sys/fs/cgroup', async () => {
    const outcome = await runShell('ls /sys/fs/cgroup; touch /sys/fs/cgroup/x', (spec) => {
      spec.mounts.push({ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'ro'] });
    });
    expect(outcome.stdout).not.toBe('');
    expect(outcome.stderr).toMatch(/Read-only file system|Permission denied/);
  });
});

describe('masked and read-only paths', () => {
  const edit: Setup['edit'] = (spec, rootfs) => {
    mkdirSync(join(rootfs, 'secret'));
    writeFileSync(join(rootfs, 'secret/inside'), 'x');
    writeFileSync(join(rootfs, 'etc/hidden'), 'x');
    mkdirSync(join(rootfs, 'fixed'));
    spec.root.readonly = false;
    spec.linux.maskedPaths = ['/secret', '/etc/hidden', '/proc/meminfo', '/not/there'];
    spec.linux.readonlyPaths = ['/fixed', '/etc/passwd', '/proc/sys', '/not/there/either'];
  };

  test('masked: directories are empty, files are empty', async () => {
    const outcome = await runShell(
      'ls -A /secret | wc -l; wc -c < /etc/hidden; wc -c < /proc/meminfo; touch /secret/new || echo not written',
      edit,
    );
    expect(outcome.stdout.replaceAll(' ', '')).toBe('0\n0\n0\nnotwritten\n');
  });

  test('read-only: beneath them nothing can be changed, beside them everything', async () => {
    const outcome = await runShell(
      'touch /fixed/new; echo x >> /etc/passwd; echo 1 > /proc/sys/kernel/panic; touch /etc/new && echo beside',
      edit,
    );
    expect(outcome.stderr.match(/Read-only file system/g)?.length).toBe(3);
    expect(outcome.stdout).toBe('beside\n');
  });
});

describe('rootfsPropagation', () => {
  test.for(['private', 'slave', 'rslave', 'rprivate'])('%s', async (rootfsPropagation) => {
    const outcome = await runShell('echo runs', (spec) => (spec.linux.rootfsPropagation = rootfsPropagation));
    expect(outcome).toMatchObject({ status: 0, stdout: 'runs\n' });
  });

  test('a word that nobody knows', async () => {
    await using box = await newContainer({ edit: (spec) => (spec.linux.rootfsPropagation = 'sideways') });
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/rootfsPropagation|rootfs propagation|sideways/i);
  });
});
