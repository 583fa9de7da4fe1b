/**
 * A sandbox in a process of its own whose kernel the test drives from within: the parts of `tsvisor do` on a real platform, without confinement,
 * and with a gofer in the same process.
 *
 *     node container-sandbox.ts seccomp pause /path/to/counting spin calls …      // prints JSON: what the test wants to know
 *     node container-sandbox.ts seccomp exec
 *     node container-sandbox.ts seccomp disturb /path/to/program …                // runs it, paused for moments all the time
 *
 * The platform `hot` is seccomp whose patched calls are hot as soon as there is one, whatever else goes on.
 */
import { buildFileTree } from '#bin/sandbox/file-tree.ts';
import { createPlatform } from '#bin/sandbox/choose-platform.ts';
import type { PlatformName } from '#bin/sandbox/choose-platform.ts';
import { readAuxiliaryFacts } from '#bin/sandbox/machine.ts';
import { TestGofer } from '#gofer/server/testing.ts';
import type { HostFd, HostMemory } from '#platform/contract/host.ts';
import type { Platform } from '#platform/contract/platform.ts';
import { LinuxHost } from '#platform/host/host.ts';
import { HOT_LIMITS } from '#platform/seccomp/patching/hot-mode.ts';
import { createSeccompPlatform, SeccompPlatform } from '#platform/seccomp/platform.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { HostFiles } from '#sentry/fs/host-file/host-files.ts';
import { createProcess } from '#sentry/kernel/boot.ts';
import type { ProcessOptions } from '#sentry/kernel/boot.ts';
import type { Container } from '#sentry/kernel/container.ts';
import { killContainer } from '#sentry/kernel/container-signals.ts';
import { openExecutable } from '#sentry/kernel/exec/open-executable.ts';
import { execve } from '#sentry/kernel/exec/exec.ts';
import { Kernel } from '#sentry/kernel/kernel.ts';
import { pauseContainer, resumeContainer } from '#sentry/kernel/pause.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { Timer } from '#sentry/lib/timer-queue.ts';
import { SyscallTable } from '#sentry/syscalls/dispatch.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import { transferTable } from '#sentry/syscalls/transfers.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import type { MountNamespace } from '#sentry/vfs/mount-namespace.ts';

type TestedPlatform = PlatformName | 'hot';

const ALWAYS_HOT = {
  ...HOT_LIMITS,
  window: 2,
  warmNs: Infinity,
  enterNs: Infinity,
  enterPatched: 0.5,
  leaveOthers: Infinity,
  pays: Infinity,
  napsMax: Infinity,
  penaltyFirst: 0,
  takesAnyCpu: true,
};

function choose(name: TestedPlatform, host: LinuxHost): Platform {
  if (name !== 'hot') return createPlatform(name, { sites: true, keepsAnswers: true, memoryLimited: false }, host);
  const patching = { transfers: () => transferTable(ALL_ROWS, 'x64'), limits: ALWAYS_HOT, worthPatching: 1, keepsAnswers: true };
  return createSeccompPlatform(host, { patching });
}

const MILLISECOND = 1e6;
/** As in counting.c. */
const COUNTERS = 0x1000_0000;
const COUNTER_BYTES = 64;

class SandboxHost extends LinuxHost {
  gofer: TestGofer | null = null;

  override send(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors?: readonly HostFd[]): number {
    const sent = super.send(fd, memory, offset, length, descriptors);
    if (fd === this.gofer?.socket) this.gofer.connection.serveOne();
    return sent;
  }
}

class Sandbox {
  readonly host = new SandboxHost({});
  readonly kernel: Kernel;
  readonly connection: GoferConnection;

  constructor(platform: TestedPlatform) {
    const gofer = new TestGofer([{ path: '/', readOnly: true }], 4096);
    this.host.gofer = gofer;
    const table = new SyscallTable(ALL_ROWS, 'x64');
    this.kernel = new Kernel({
      host: this.host,
      platform: choose(platform, this.host),
      dispatch: (task) => table.dispatch(task),
      ...readAuxiliaryFacts(),
      memoryLimit: Infinity,
      machine: { cpuCount: this.host.cpuCount, cpuDescription: '', memoryBytes: 2 ** 31 },
      onHostSignal: () => {},
    });
    this.connection = new GoferConnection(this.host, gofer.socket, (reason) => {
      throw new Error(reason);
    });
    if (!this.connection.awaitHello()) throw new Error('the gofer says nothing');
  }

  /** A container with a tree of its own. */
  container(id: string): { container: Container; namespace: MountNamespace } {
    const container = this.kernel.addContainer(id, { hostname: id });
    return { container, namespace: buildFileTree(container, this.connection, []).namespace };
  }

  /** A process from outside that runs `args`, with our own standard files. */
  start(container: Container, namespace: MountNamespace, args: readonly string[], outside: ProcessOptions['outside'] = {}): Task {
    const credentials = initialCredentials(0, 0, [0], ALL_CAPABILITIES);
    const task = createProcess(this.kernel, container, { credentials, namespace, root: namespace.rootPath, umask: 0o022, outside });
    if (typeof task === 'number') throw new Error(`no process: ${task}`);
    const files = new HostFiles(this.host, this.kernel);
    for (const fd of [0, 1, 2])
      task.files.replace(fd, files.open(fd, 2, credentials, null) as Exclude<ReturnType<HostFiles['open']>, number>, false);
    const file = openExecutable(task, null, args[0]!, 0);
    const loaded = typeof file === 'number' ? file : execve(task, { path: args[0]!, file, args, environment: [] });
    if (loaded < 0) throw new Error(`${args[0]}: ${loaded}`);
    this.kernel.start(task);
    return task;
  }

  after(milliseconds: number, action: () => void): void {
    this.kernel.timers.set(new Timer(action), this.host.monotonicNs() + milliseconds * MILLISECOND);
  }
}

/** The counters of counting.c as numbers. */
function countersOf(sandbox: Sandbox, task: Task, count: number): number[] {
  const bytes = count * COUNTER_BYTES;
  const memory = sandbox.host.allocate(bytes);
  if (task.memory.copyIn(COUNTERS, memory, 0, bytes) < 0) throw new Error('no counters');
  return Array.from({ length: count }, (_, i) => Number(memory.view.getBigUint64(i * COUNTER_BYTES, true)));
}

const ROUNDS = 25;
const HELD_MS = 20;

/** Pauses again and again; what counted on while it should not, and what never counted at all. */
function pauseTest(platform: TestedPlatform, program: string, kinds: readonly string[]): void {
  const sandbox = new Sandbox(platform);
  const { container, namespace } = sandbox.container('counting');
  const init = sandbox.start(container, namespace, [program, ...kinds]);
  const moved = new Set<string>();
  const progress = kinds.map(() => 0);
  let before = kinds.map(() => 0);
  let slowestMs = 0;
  let hotRounds = 0;
  const { platform: made } = sandbox.kernel;
  const round = (left: number): void => {
    if (left === 0) return void killContainer(container, SIGKILL, 'init');
    if (made instanceof SeccompPlatform && made.patchedCalls.isHot) hotRounds++;
    const asked = sandbox.host.monotonicNs();
    pauseContainer(container, () => {
      slowestMs = Math.max(slowestMs, (sandbox.host.monotonicNs() - asked) / MILLISECOND);
      const then = countersOf(sandbox, init, kinds.length);
      sandbox.after(HELD_MS, () => {
        const now = countersOf(sandbox, init, kinds.length);
        kinds.forEach((kind, i) => {
          if (now[i] !== then[i]) moved.add(kind);
          if (now[i] !== before[i]) progress[i]!++;
        });
        before = now;
        resumeContainer(container);
        sandbox.after(5 + ((left * 7) % 23), () => round(left - 1));
      });
    });
  };
  // Time for call sites to become patched and calls hot.
  sandbox.after(150, () => round(ROUNDS));
  const status = sandbox.kernel.run();
  const stuck = kinds.filter((_, i) => progress[i]! < ROUNDS / 2);
  console.log(JSON.stringify({ status, moved: [...moved], stuck, hotRounds, slowestMs, totals: before }));
  sandbox.kernel.platform.destroy();
}

const RUNS_MS = 3;
const RESTS_MS = 2;

/** Runs `args` to its end and ends as it did; meanwhile it is paused again and again. */
function disturbTest(platform: TestedPlatform, args: readonly string[]): void {
  const sandbox = new Sandbox(platform);
  const { container, namespace } = sandbox.container('disturbed');
  sandbox.start(container, namespace, args);
  const round = (): void => {
    pauseContainer(container, () => {
      if (container.exitStatus !== null) return;
      sandbox.after(RESTS_MS * Math.random(), () => {
        resumeContainer(container);
        sandbox.after(RUNS_MS * Math.random(), round);
      });
    });
  };
  sandbox.after(1, round);
  const status = sandbox.kernel.run();
  sandbox.kernel.platform.destroy();
  if (sandbox.kernel.taskCount !== 0) throw new Error(`${sandbox.kernel.taskCount} tasks are left`);
  process.exitCode = (status & 0x7f) === 0 ? status >> 8 : 128 + (status & 0x7f);
}

/** A pod of two containers, one of which has a second process from outside. */
function execTest(platform: TestedPlatform): void {
  const sandbox = new Sandbox(platform);
  const one = sandbox.container('one');
  const two = sandbox.container('two');
  const events: string[] = [];
  one.container.onEnd = (status) => events.push(`one ${status}`);
  two.container.onEnd = (status) => events.push(`two ${status}`);
  sandbox.start(one.container, one.namespace, ['/bin/sleep', '1000']);
  sandbox.start(two.container, two.namespace, ['/bin/sh', '-c', 'sleep 1000 & wait']);
  const exited = (status: number): void => {
    events.push(`exec ${status}`);
    killContainer(two.container, SIGKILL, 'init');
    killContainer(one.container, SIGKILL, 'init');
  };
  sandbox.after(100, () => {
    const script = 'cd /proc; echo $$ $PPID [0-9]*; hostname; kill -9 1; exit 3';
    sandbox.start(two.container, two.namespace, ['/bin/sh', '-c', script], { exited });
  });
  const status = sandbox.kernel.run();
  console.log(JSON.stringify({ status, events, tasks: sandbox.kernel.taskCount }));
  sandbox.kernel.platform.destroy();
}

const [platform, mode, ...rest] = process.argv.slice(2);
if (mode === 'pause') pauseTest(platform as TestedPlatform, rest[0]!, rest.slice(1));
else if (mode === 'disturb') disturbTest(platform as TestedPlatform, rest);
else execTest(platform as TestedPlatform);
