/** Verbs that make no sandbox, in the order of the help. bin/tsvisor has the same list. */
import type { MakeVerb } from './program.ts';
import { checkpointCommand, restoreCommand } from './verbs/checkpoint.ts';
import { deleteCommand } from './verbs/delete.ts';
import { eventsCommand } from './verbs/events.ts';
import { execCommand } from './verbs/exec.ts';
import { killCommand } from './verbs/kill.ts';
import { listCommand } from './verbs/list.ts';
import { pauseCommand, resumeCommand } from './verbs/pause.ts';
import { psCommand } from './verbs/ps.ts';
import { specCommand } from './verbs/spec.ts';
import { startCommand } from './verbs/start.ts';
import { stateCommand } from './verbs/state.ts';
import { updateCommand } from './verbs/update.ts';
import { waitCommand } from './verbs/wait.ts';

export const CLIENT_VERBS: readonly MakeVerb[] = [
  startCommand,
  stateCommand,
  execCommand,
  killCommand,
  deleteCommand,
  listCommand,
  psCommand,
  pauseCommand,
  resumeCommand,
  updateCommand,
  eventsCommand,
  waitCommand,
  checkpointCommand,
  restoreCommand,
  specCommand,
];
