/**
 * Pausing a container: none of its threads executes an instruction until it is resumed (runc pause; cgroups(7) "freezer").
 *
 *     pauseContainer(container, () => …every thread has stopped…);
 *     resumeContainer(container);
 *
 * Each task gets a bit in `signals.work`, the word that the kernel's loop looks at anyway: nothing is slower for the others. Threads in guest
 * code are interrupted; what they stop with then (a call just made, a fault) is not served but held. Waiting ones stay where they are: what
 * wakes one is held, too, so that not even a call that was under way does anything. Signals queue up, and time goes on: a sleep that ended
 * meanwhile is over at once afterwards (Linux: likewise). SIGKILL by `killContainer` does not need the threads' help.
 *
 * Linux: kernel/cgroup/freezer.c.
 */
import type { Container } from './container.ts';
import type { Task } from './task.ts';

/**
 * Stops every thread of `container`. `whenStopped` is called once: at once if none runs guest code, else when the last one that did has
 * stopped, or when the container ends or is resumed before. A container that is paused stays so, and `whenStopped` takes the earlier one's place.
 */
export function pauseContainer(container: Container, whenStopped: () => void): void {
  const { freezer } = container;
  freezer.whenStopped = whenStopped;
  if (!container.paused) {
    container.paused = true;
    for (const group of container.living) for (const task of group.tasks) if (!task.hasExited) freeze(task);
  }
  freezer.tell();
}

function freeze(task: Task): void {
  task.signals.isFrozen = true;
  if (!task.inGuest) return;
  task.container.freezer.running.add(task);
  task.thread.interrupt();
}

/** Lets the threads go on where they were. */
export function resumeContainer(container: Container): void {
  if (!container.paused) return;
  container.paused = false;
  for (const group of container.living) for (const task of group.tasks) if (!task.hasExited) thaw(task);
  container.freezer.running.clear();
  container.freezer.tell();
}

function thaw(task: Task): void {
  const { signals } = task;
  signals.isFrozen = false;
  if (signals.hasHeldWake || signals.hasHeldStop) task.kernel.makeRunnable(task);
  signals.hasHeldWake = false;
}

/** Which threads of a container that is being paused still run. */
export class Freezer {
  readonly running = new Set<Task>();
  whenStopped: (() => void) | null = null;

  /** `task` has stopped or ended. */
  stopped(task: Task): void {
    if (this.running.delete(task)) this.tell();
  }

  tell(): void {
    const { whenStopped } = this;
    if (this.running.size > 0 || whenStopped === null) return;
    this.whenStopped = null;
    whenStopped();
  }
}
