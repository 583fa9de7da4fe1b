/**
 * Random scripts for the guest `actors.c`, from a seed.
 *
 * A script is a list of steps, and a step one or more lines that belong together: a single operation, or a pattern in which one actor
 * sleeps until another one wakes it. Every step is complete in itself, so that leaving one out gives a script again: that is how a
 * failing script is made smaller. The generator follows which actors there are, to waste few lines on those there are not; what it
 * gets wrong costs nothing, since the guest leaves out what cannot be done.
 */

export type Step = readonly string[];

/** As many as in actor.h. */
const ACTORS = 12;

/** xorshift32: the same numbers on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % below;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Bounds of the numbers of each operation: `fd` is a small descriptor, `name` an entry in the table of names, and so on. */
const bounds = {
  fd: 8,
  name: 26,
  small: 4,
  page: 96,
  count: 16,
  size: 70_000,
  bytes: 600,
  any: 1 << 16,
  mode: 512,
  set: 1 << 11,
  signal: 11,
};
type Bound = keyof typeof bounds;

/** Operation and the bounds of its numbers; the families differ in how often they are picked. */
const families: Record<string, readonly string[]> = {
  files: operations(`
    open name any mode; open name any mode; open small any mode; openat fd name any mode; close fd; read fd size;
    read fd bytes; write fd bytes any; write fd size any; pread fd size any; pwrite fd size any any;
    readv fd bytes bytes bytes; writev fd bytes bytes bytes any; lseek fd any small; ftruncate fd any; truncate name any;
    fallocate fd small any any; copy-range fd fd size; sendfile fd fd size any; splice fd fd size any; fsync fd small;
    memfd small; seal fd any`),
  names: operations(`
    stat name; lstat name; fstat fd; access name small; rename name name; rename2 name name small; link name name;
    symlink name name; unlink name; mkdir name mode; rmdir name; readlink name bytes; chmod name mode; fchmod fd mode;
    umask mode; chdir name; home; cwd; list name; utimes name any any any; statx name small; xattr name small small any;
    inotify; watch fd name; notices fd; notices fd`),
  descriptors: operations(`
    dup fd; dup2 fd fd; dup3 fd fd small; dupfd fd fd small; getfl fd; setfl fd small; getfd fd; setfd fd small; fds;
    lock fd small small small; ofd-lock fd small small small; test-lock fd small small small; flock fd small; close fd`),
  memory: operations(`
    map small page count any any; map small page count any any; map-file fd page count any any small;
    map-file fd page count any any small; unmap page count; protect page count any; remap page count count small page;
    advise page count any; sync page count small; lock-memory page count small; touch page count any any;
    touch page count any any; fill page count any; sum page count; maps; brk count; read-to fd page size any any;
    write-from fd page size any any; path-in page any; pipe-to page any`),
  signals: operations(`
    action signal small any set; action signal small any set; mask small set; pending; raise signal; take set; volley set;
    suspend small; altstack any; alarm any; timer any any small; timerfd any; sleep any; signalfd set; signalfd-read fd`),
  channels: operations(`
    pipe small; pipe small; socketpair small small; socketpair small small; socket small; bind fd small; listen fd;
    connect fd small; accept fd small; send fd bytes any; receive fd bytes any; shutdown fd small; sockopt fd any; peer fd;
    send-fd fd fd; receive-fd fd; eventfd any small; waiting fd; poll fd fd fd small; select fd fd fd small; epoll small;
    epoll-ctl fd small fd any; epoll-ctl fd small fd any; epoll-wait fd small; word-calls small any; robust-lock;
    robust-unlock`),
  machine: operations(`
    registers any any; shapes any any; code page any; upper any; gs any; yield; ids; name any small; limit small any;
    nice any; status`),
};

function operations(text: string): string[] {
  return text.split(';').map((operation) => operation.trim());
}

/** How often each family is picked, as a list to pick from. */
const mix = 'files files files names names descriptors memory memory memory signals signals channels channels machine'.split(' ');

class Writer {
  readonly random: Random;
  /** Actors that exist, as far as is known here. */
  readonly living = new Set([0]);
  readonly parents = new Map<number, number>();

  constructor(random: Random) {
    this.random = random;
  }

  someone(): number {
    return this.random.pick([...this.living]);
  }

  free(): number | undefined {
    for (let i = 1; i < ACTORS; i++) if (!this.living.has(i) && !this.parents.has(i)) return i;
    return undefined;
  }

  operation(family: string): Step {
    const [name, ...kinds] = this.random.pick(families[family] ?? []).split(' ');
    const numbers = kinds.map((kind) => this.random.below(bounds[kind as Bound]));
    return [[this.someone(), name, ...numbers].join(' ')];
  }

  /** A new process or thread. */
  birth(): Step {
    const [parent, child] = [this.someone(), this.free()];
    if (child === undefined) return this.operation('machine');
    this.living.add(child);
    this.parents.set(child, parent);
    return [`${parent} ${this.random.pick(['fork', 'fork', 'thread', 'thread', 'spawn'])} ${child}`];
  }

  /** An end, and the parent that is told of it. Actor 0 stays. */
  death(): Step {
    const victim = this.someone();
    const parent = this.parents.get(victim);
    if (victim === 0 || parent === undefined) return this.operation('signals');
    const code = this.random.below(256);
    const how = this.random.below(6);
    if (how === 5) return [`${victim} exec`];
    this.living.delete(victim);
    if (how === 0) return [`${parent} kill-hard ${victim}`, `${parent} wait ${victim} ${this.random.below(8)}`];
    if (how === 1) return [`${victim} segv ${code}`, `${parent} wait ${victim} 0`];
    const exit = `${victim} ${this.random.pick(['exit', 'exit-group'])} ${code}`;
    if (how === 2) return [`${parent}&${victim} await ${victim}`, `${victim} exit-group ${code}`, `${parent}=`];
    return [exit, `${parent} wait ${victim} ${this.random.below(8)}`];
  }

  /** Signals between two, stops among them. */
  message(): Step {
    const [sender, receiver] = [this.someone(), this.someone()];
    const signal = this.random.below(bounds.signal);
    switch (this.random.below(4)) {
      case 0:
        return [
          `${sender} stop ${receiver}`,
          `${sender} wait ${receiver} 1`,
          `${sender} continue ${receiver}`,
          `${sender} wait ${receiver} 2`,
        ];
      case 1:
        return [
          `${receiver} action ${signal} 2 ${this.random.below(8)} 0`,
          `${sender} queue ${receiver} ${signal} ${this.random.below(1000)}`,
        ];
      default:
        return [
          `${receiver} action ${signal} 2 ${this.random.below(8)} ${this.random.below(bounds.set)}`,
          `${sender} kill ${receiver} ${signal}`,
        ];
    }
  }

  /** One sleeps, another one wakes it. Which of the two comes first must not matter. */
  meeting(): Step {
    const [sleeper, waker] = [this.someone(), this.someone()];
    if (sleeper === waker) return this.operation('channels');
    const [channel, size, value] = [this.random.below(4), this.random.below(400), this.random.below(bounds.any)];
    const write = `${waker} channel-write ${channel} ${size} ${value}`;
    const read = `channel-read ${channel} ${size}`;
    const signal = this.random.below(3);
    const meetings: Step[] = [
      [`${sleeper}&${waker} ${read}`, write, `${sleeper}=`],
      [`${sleeper}&${waker} ${read}`, `${waker} yield`, `${waker} sleep 300000`, write, `${sleeper}=`],
      [
        `${sleeper}&${waker} ${this.random.pick(['channel-poll', 'channel-epoll', 'channel-select'])} ${channel}`,
        write,
        `${sleeper}=`,
        `${sleeper} channel-drain ${channel}`,
      ],
      [`${sleeper}&${waker} word-wait ${channel} ${value}`, `${waker} word-set ${channel} ${value}`, `${sleeper}=`],
      [`${sleeper} action ${signal} 2 1 0`, `${sleeper}&${waker} ${read}`, `${waker} kill ${sleeper} ${signal}`, write, `${sleeper}=`],
      [
        `${sleeper} mask 0 ${1 << signal}`,
        `${sleeper}&${waker} take-wait ${1 << signal}`,
        `${waker} kill ${sleeper} ${signal}`,
        `${sleeper}=`,
      ],
    ];
    // A channel may hold what was written when nobody could be woken.
    return [`${sleeper} channel-drain ${channel}`, ...this.random.pick(meetings)];
  }

  /** Several at the same time, each on its own. */
  crowd(): Step {
    const members = [...this.living].filter(() => this.random.below(3) > 0).slice(0, 5);
    const begin = members.map(
      (actor) => `${actor}&${actor} burst ${this.random.below(10)} ${this.random.below(bounds.any)} ${this.random.below(200)}`,
    );
    return [...begin, ...members.map((actor) => `${actor}=`), ...members.slice(0, 1).map((actor) => `${actor} counter`)];
  }

  step(): Step {
    const kind = this.random.below(40);
    if (kind < 3) return this.birth();
    if (kind === 3) return this.death();
    if (kind < 7) return this.message();
    if (kind < 10) return this.meeting();
    if (kind === 10) return this.crowd();
    return this.operation(this.random.pick(mix));
  }
}

/** The script of a seed. */
export function generate(seed: number, length: number): Step[] {
  const writer = new Writer(new Random(seed));
  return Array.from({ length }, () => writer.step());
}

export function scriptText(steps: readonly Step[]): string {
  return steps
    .flat()
    .map((line) => `${line}\n`)
    .join('');
}
