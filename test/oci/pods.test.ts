/** Containers of a pod: one sandbox, whose network and IPC they share, with processes, files and host processes of their own. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { newContainer, type Setup, type TestContainer } from './harness/container.ts';
import { isAlive } from './harness/processes.ts';
import { ours } from './harness/runtime.ts';
import type { Spec } from './harness/spec.ts';

/** The annotations of containerd and of CRI-O. */
const DIALECTS = [
  ['io.kubernetes.cri.container-type', 'io.kubernetes.cri.sandbox-id'],
  ['io.kubernetes.cri-o.ContainerType', 'io.kubernetes.cri-o.SandboxID'],
] as const;
type Dialect = (typeof DIALECTS)[number];

/** The pod's sandbox, running. */
async function newSandbox([type, sandbox]: Dialect = DIALECTS[0]): Promise<TestContainer> {
  const box = await newContainer({ args: ['sleep', '300'] });
  reconfigure(box, (spec) => (spec.annotations = { [type]: 'sandbox', [sandbox]: box.id }));
  await box.createAndStart();
  return box;
}

async function newMember(of: TestContainer, setup: Setup, [type, sandbox]: Dialect = DIALECTS[0]): Promise<TestContainer> {
  const box = await newContainer(setup);
  reconfigure(box, (spec) => (spec.annotations = { [type]: 'container', [sandbox]: of.id }));
  return box;
}

function reconfigure(box: TestContainer, change: (spec: Spec) => void): void {
  const spec = JSON.parse(readFileSync(`${box.bundle}/config.json`, 'utf8')) as Spec;
  change(spec);
  box.configure(spec);
}

function joinNamespace(spec: Spec, type: string, path: string): void {
  spec.linux.namespaces = spec.linux.namespaces.map((each) => (each.type === type ? { type, path } : each));
}

// runc knows no pods: each container is alone, and managers make them share namespaces of the host.
describe.runIf(ours)('a pod', () => {
  test.each(DIALECTS.map((dialect) => [dialect[0], dialect] as const))('shares its network (%s)', async (_name, dialect) => {
    await using sandbox = await newSandbox(dialect);
    await using server = await newMember(sandbox, { shell: 'echo over loopback | nc -l -p 7000' }, dialect);
    await server.createAndStart();
    await using client = await newMember(sandbox, { shell: 'until nc 127.0.0.1 7000; do sleep 0.05; done' }, dialect);
    await client.createAndStart();
    expect(await client.output()).toBe('over loopback\n');
    await server.until('stopped');
    expect(await sandbox.state()).toMatchObject({ status: 'running' });
  });

  test('has files, host names and processes of each container', async () => {
    await using sandbox = await newSandbox();
    const edit = (hostname: string) => (spec: Spec) => {
      spec.hostname = hostname;
      spec.root.readonly = false;
    };
    await using one = await newMember(sandbox, { shell: 'echo one > /mine; sleep 300; true', edit: edit('one') });
    await using two = await newMember(sandbox, { shell: 'echo two > /mine; sleep 300; true', edit: edit('two') });
    await one.createAndStart();
    await two.createAndStart();
    const look =
      'until [ -e /mine ]; do sleep 0.05; done; cat /mine; hostname; ls -d /proc/[0-9]* | wc -l; cat /proc/1/cmdline | tr "\\0" " "';
    expect((await one.exec(['sh', '-c', look])).stdout).toMatch(/^one\none\n[3-6]\nsh -c echo one/);
    expect((await two.exec(['sh', '-c', look])).stdout).toMatch(/^two\ntwo\n[3-6]\nsh -c echo two/);
    expect((await one.exec(['sh', '-c', 'kill -0 $$ && kill -9 999'])).status).not.toBe(0);
    expect(await two.state()).toMatchObject({ status: 'running' });
  });

  test('shares processes where a container asks for them', async () => {
    await using sandbox = await newSandbox();
    const { pid } = (await sandbox.state())!;
    await using member = await newMember(sandbox, { args: ['sleep', '200'] });
    reconfigure(member, (spec) => joinNamespace(spec, 'pid', `/proc/${pid}/ns/pid`));
    await member.createAndStart();
    expect((await member.exec(['ps', '-o', 'pid,args'])).stdout).toMatch(/1 sleep 300[^]*sleep 200/);
    expect((await sandbox.exec(['ps', '-o', 'args'])).stdout).toContain('sleep 200');
  });

  test('each container has a process of the host: its exit status, signals to it, and its death', async () => {
    await using sandbox = await newSandbox();
    await using polite = await newMember(sandbox, { shell: 'trap "exit 7" TERM; while :; do sleep 0.05; done' });
    const waited = polite.createAndStart();
    await waited;
    await polite.exec(['true']);
    const first = (await polite.state())!.pid;
    expect(isAlive(first)).toBe(true);
    process.kill(first, 'SIGTERM');
    await polite.until('stopped');
    expect(isAlive(first)).toBe(false);
    await using killed = await newMember(sandbox, { args: ['sleep', '300'] });
    await killed.createAndStart();
    process.kill((await killed.state())!.pid, 'SIGKILL');
    await killed.until('stopped');
    expect(await sandbox.state()).toMatchObject({ status: 'running' });
    expect((await sandbox.exec(['ps', '-o', 'args'])).stdout).toContain('sleep 300');
  });

  test('pauses, lists and ends its containers one by one, and all with the sandbox', async () => {
    await using sandbox = await newSandbox();
    await using one = await newMember(sandbox, { args: ['sleep', '300'] });
    await using two = await newMember(sandbox, { args: ['sleep', '300'] });
    await one.createAndStart();
    await two.createAndStart();
    expect((await one.verb('pause')).status).toBe(0);
    expect([(await one.state())!.status, (await two.state())!.status]).toEqual(['paused', 'running']);
    expect((await two.exec(['echo', 'goes on'])).stdout).toBe('goes on\n');
    expect((await one.verb('resume')).status).toBe(0);
    expect((await one.delete(['--force'])).status).toBe(0);
    expect(await two.state()).toMatchObject({ status: 'running' });
    expect((await sandbox.kill('KILL')).status).toBe(0);
    await two.until('stopped');
    expect((await two.delete()).status).toBe(0);
  });

  test('a container that cannot be made says why, and the others go on', async () => {
    await using sandbox = await newSandbox();
    await using member = await newMember(sandbox, { args: ['/no/such/program'] });
    const { status, stderr } = await member.create();
    expect(status).toBe(1);
    expect(stderr).toContain('exec: "/no/such/program": no such file or directory');
    expect(await member.state()).toBeNull();
    expect((await sandbox.exec(['true'])).status).toBe(0);
  });

  test('a network namespace of a sandbox leads into it, as podman and Docker name it', async () => {
    await using first = await newContainer({ shell: 'echo hello | nc -l -p 7001; sleep 300' });
    await first.createAndStart();
    const { pid } = (await first.state())!;
    await using second = await newContainer({
      shell: 'until nc 127.0.0.1 7001; do sleep 0.05; done',
      edit: (spec) => joinNamespace(spec, 'network', `/proc/${pid}/ns/net`),
    });
    await second.createAndStart();
    expect(await second.output()).toBe('hello\n');
  });
});
