/** A pod's sandbox on the host: it may use what the pod's containers may use together, whatever its first container was given. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { newContainer, type TestContainer } from './harness/container.ts';
import { ours } from './harness/runtime.ts';
import type { Spec } from './harness/spec.ts';

const MB = 1 << 20;

/** Makes `box` a container of the pod of `sandbox`, in its own cgroup. */
function configure(box: TestContainer, sandbox: TestContainer, path: string, resources: Record<string, unknown>): void {
  const spec = JSON.parse(readFileSync(`${box.bundle}/config.json`, 'utf8')) as Spec;
  const type = box === sandbox ? 'sandbox' : 'container';
  spec.annotations = { 'io.kubernetes.cri.container-type': type, 'io.kubernetes.cri.sandbox-id': sandbox.id };
  spec.linux.cgroupsPath = path;
  spec.linux.resources = resources;
  box.configure(spec);
}

/** A file of v1 or v2 in the cgroup at `path`, or null where this host has neither. */
function hostFile(path: string, files: readonly (readonly [controller: string, name: string])[]): string | null {
  const found = files.map(([controller, name]) => `/sys/fs/cgroup${controller}${path}/${name}`).find((file) => existsSync(file));
  return found === undefined ? null : readFileSync(found, 'utf8').trim();
}

const shares = (path: string): string | null => hostFile(path, [['/cpu', 'cpu.shares']]);
const memory = (path: string): number =>
  Number(
    hostFile(path, [
      ['/memory', 'memory.limit_in_bytes'],
      ['', 'memory.max'],
    ]),
  );

test.runIf(ours && process.getuid?.() === 0)('grows with each container that joins, and by update', async () => {
  const place = `/tsvisor-pod-${process.pid}`;
  await using box = await newContainer();
  configure(box, box, `${place}/first`, { cpu: { shares: 2 } });
  await box.createAndStart();
  expect(shares(`${place}/first`) ?? '2').toBe('2');
  await using one = await newContainer();
  configure(one, box, `${place}/one`, { cpu: { shares: 512 }, memory: { limit: 32 * MB } });
  await one.createAndStart();
  const alone = memory(`${place}/first`);
  expect(shares(`${place}/first`) ?? '512').toBe('512');
  await using two = await newContainer();
  configure(two, box, `${place}/two`, { cpu: { shares: 256 }, memory: { limit: 64 * MB } });
  await two.createAndStart();
  expect(memory(`${place}/first`) - alone).toBe(64 * MB);
  expect(shares(`${place}/first`) ?? '768').toBe('768');
  expect(await one.verb('update', ['--memory', '48m'])).toMatchObject({ status: 0 });
  expect(memory(`${place}/first`) - alone).toBe(80 * MB);
  expect((await one.exec(['cat', '/sys/fs/cgroup/memory.max'])).stdout).toBe(`${48 * MB}\n`);
});
