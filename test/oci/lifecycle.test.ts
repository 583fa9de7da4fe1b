/**
 * The state machine: every verb in every state, with runc's exit status and error text.
 *
 * The table is what runc 1.1 does. `created`, `running`, `paused` and `stopped` are the states of the runtime specification and runc's
 * `paused`; `none` is a container that does not exist. An entry without text is a verb that succeeds.
 */
import { describe, expect, test } from 'vitest';
import { newContainer, type TestContainer } from './harness/container.ts';
import { isAlive } from './harness/processes.ts';
import { verb } from './harness/runtime.ts';

type Reached = 'none' | 'created' | 'running' | 'paused' | 'stopped';

async function bring(box: TestContainer, to: Reached): Promise<void> {
  const steps = {
    none: [],
    created: ['create'],
    running: ['create', 'start'],
    paused: ['create', 'start', 'pause'],
    stopped: ['create', 'start', 'kill'],
  };
  for (const step of steps[to]) {
    const outcome = step === 'create' ? await box.create() : step === 'kill' ? await box.kill('KILL') : await box.verb(step);
    expect(outcome.status, `${step}: ${outcome.stderr}`).toBe(0);
  }
  if (to === 'stopped') await box.until('stopped');
}

/** The arguments of a verb before and after the name of the container. */
const commands: Record<string, (box: TestContainer) => string[]> = {
  create: (box) => ['create', '--bundle', box.bundle, box.id],
  run: (box) => ['run', '--bundle', box.bundle, box.id],
  state: (box) => ['state', box.id],
  start: (box) => ['start', box.id],
  'kill 0': (box) => ['kill', box.id, '0'],
  'kill --all': (box) => ['kill', '--all', box.id, '0'],
  exec: (box) => ['exec', box.id, 'true'],
  pause: (box) => ['pause', box.id],
  resume: (box) => ['resume', box.id],
  ps: (box) => ['ps', box.id],
  events: (box) => ['events', '--stats', box.id],
  update: (box) => ['update', '--pids-limit', '100', box.id],
  delete: (box) => ['delete', box.id],
};

const missing = 'container does not exist';
const exists = 'container with given ID already exists';

/** What each verb says in each state; '' is success. A verb that is not named here succeeds. */
const refusals: Record<Reached, Record<string, string>> = {
  none: {
    state: missing,
    start: missing,
    'kill 0': missing,
    'kill --all': missing,
    exec: missing,
    pause: missing,
    resume: missing,
    ps: missing,
    events: missing,
    update: missing,
    delete: missing,
  },
  created: { create: exists, run: exists, resume: 'container not paused' },
  running: {
    create: exists,
    run: exists,
    start: 'cannot start an already running container',
    resume: 'container not paused',
    delete: 'cannot delete container <id> that is not stopped: running',
  },
  // runc's `kill --all` thaws a paused container where the host has cgroup v1, so it is left out below.
  paused: {
    create: exists,
    run: exists,
    start: 'cannot start a container in the paused state',
    exec: 'cannot exec in a paused container (use --ignore-paused to override)',
    pause: 'container not running',
    delete: 'cannot delete container <id> that is not stopped: paused',
  },
  stopped: {
    create: exists,
    run: exists,
    start: 'cannot start a container that has stopped',
    'kill 0': 'container not running',
    exec: 'cannot exec in a stopped container',
    pause: 'container not running',
    resume: 'container not paused',
    events: 'is not running',
    update: 'container not running',
  },
};

/** Verbs that change the state come last: `delete` of a created container succeeds and removes it. */
function inOrder(state: Reached): string[] {
  const changes: Record<Reached, string[]> = {
    none: ['create', 'run'],
    created: ['start', 'pause', 'delete'],
    running: ['pause'],
    paused: ['resume', 'kill --all'],
    stopped: ['delete'],
  };
  return Object.keys(commands).filter((name) => !changes[state].includes(name));
}

describe('every verb in every state', () => {
  test.for(Object.keys(refusals) as Reached[])('%s', async (state) => {
    await using box = await newContainer();
    await bring(box, state);
    for (const name of inOrder(state)) {
      const outcome = await verb(commands[name]!(box));
      const said = refusals[state][name] ?? '';
      const seen = `${name}: status ${outcome.status}, ${outcome.stderr}`;
      // Clients know 255 as "exec itself failed": any other status may be the program's.
      const failure = name === 'exec' ? 255 : 1;
      expect(outcome.status, seen).toBe(said === '' ? 0 : failure);
      expect(outcome.stderr, seen).toContain(said.replace('<id>', box.id));
    }
    expect((await box.state())?.status ?? 'none').toBe(state);
  });

  test('created, started, stopped, deleted', async () => {
    await using box = await newContainer();
    expect(await box.create()).toMatchObject({ status: 0 });
    const created = await box.state();
    expect(created).toMatchObject({ id: box.id, status: 'created', bundle: box.bundle });
    expect(created!.pid).toBeGreaterThan(1);
    expect(created!.ociVersion).toMatch(/^1\./);
    process.kill(created!.pid, 0);
    await box.start();
    expect(await box.state()).toMatchObject({ status: 'running', pid: created!.pid });
    await box.kill('KILL');
    await box.until('stopped');
    expect(await box.state()).toMatchObject({ status: 'stopped', pid: 0, bundle: box.bundle });
    expect(await box.delete()).toMatchObject({ status: 0, stdout: '' });
    expect(await box.state()).toBeNull();
  });

  test('paused and resumed, in the created state too', async () => {
    await using box = await newContainer();
    await box.create();
    expect(await box.verb('pause')).toMatchObject({ status: 0 });
    expect(await box.state()).toMatchObject({ status: 'paused' });
    expect(await box.verb('resume')).toMatchObject({ status: 0 });
    expect(await box.state()).toMatchObject({ status: 'created' });
    expect(await box.start()).toMatchObject({ status: 0 });
  });

  test('a created container can be deleted, and its name used again', async () => {
    await using box = await newContainer();
    for (let round = 0; round < 3; round++) {
      const { status, stderr } = await box.create();
      expect(status, stderr).toBe(0);
      expect(await box.delete()).toMatchObject({ status: 0 });
    }
    expect(await box.state()).toBeNull();
  });

  test('a process that ends by itself leaves a stopped container', async () => {
    await using box = await newContainer({ shell: 'exit 7' });
    await box.createAndStart();
    await box.until('stopped');
    expect(await box.delete()).toMatchObject({ status: 0 });
  });

  test('changes of config.json after create have no effect', async () => {
    await using box = await newContainer({ shell: 'echo first' });
    await box.create();
    box.configure(box.read('config.json').replace('echo first', 'echo second'));
    await box.start();
    expect(await box.output()).toBe('first\n');
  });
});

describe('run', () => {
  test('ends with the status of the process and removes the container', async () => {
    await using box = await newContainer({ shell: 'echo out; echo err >&2; exit 3' });
    expect(await box.run()).toMatchObject({ status: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(await box.state()).toBeNull();
  });

  test('128+n for a signal', async () => {
    await using box = await newContainer();
    const running = box.startRun();
    await box.until('running');
    await box.kill('KILL');
    expect(await running.exited).toBe(137);
  });

  test('--detach returns at once, and the container goes on', async () => {
    await using box = await newContainer();
    const started = box.startRun(['--detach', '--pid-file', `${box.bundle}/pid`]);
    expect(await started.exited, started.stderr).toBe(0);
    const state = await box.state();
    expect(state).toMatchObject({ status: 'running' });
    expect(box.read('pid')).toBe(String(state!.pid));
    started.child.stdin.destroy();
  });

  test('--keep keeps it', async () => {
    await using box = await newContainer({ args: ['true'] });
    expect(await box.run(['--keep'])).toMatchObject({ status: 0 });
    expect(await box.state()).toMatchObject({ status: 'stopped' });
  });
});

describe('delete --force', () => {
  test.for(['none', 'created', 'running', 'paused', 'stopped'] as const)('in state %s', async (state) => {
    await using box = await newContainer();
    await bring(box, state);
    const pid = (await box.state())?.pid ?? 0;
    expect(await box.delete(['--force'])).toMatchObject({ status: 0 });
    expect(await box.state()).toBeNull();
    expect(pid !== 0 && isAlive(pid)).toBe(false);
  });

  test('after the host-visible process was killed', async () => {
    await using box = await newContainer();
    await bring(box, 'running');
    process.kill((await box.state())!.pid, 'SIGKILL');
    await box.until('stopped');
    expect(await box.delete(['--force'])).toMatchObject({ status: 0 });
  });
});

describe('wrong usage', () => {
  test.for([
    [['start'], /requires exactly 1 argument|missing required argument/],
    [['state', 'a', 'b'], /requires exactly 1 argument|too many arguments/],
    [['create', '--bundle', '/nonexistent', 'a'], /\/nonexistent/],
    [['create', '--bundle', '/proc', 'a'], /config\.json/],
    [['state', '--bogus', 'a'], /bogus/],
  ] as const)('%j', async ([args, said]) => {
    const outcome = await verb(args);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(said);
  });

  test('a name that is no file name', async () => {
    await using box = await newContainer();
    const outcome = await verb(['create', '--bundle', box.bundle, '../a']);
    expect(outcome).toMatchObject({ status: 1 });
    expect(outcome.stderr).toContain('invalid container ID format');
  });

  test('an unknown signal', async () => {
    await using box = await newContainer();
    await bring(box, 'running');
    const outcome = await box.kill('WRONG');
    expect(outcome).toMatchObject({ status: 1 });
    expect(outcome.stderr).toContain('unknown signal');
  });
});
