/** The `tsvisor` command: every verb. Those that only talk to a sandbox are run by client-main.ts, which starts faster. */
// First of all, for what it begins.
import './oci/lifecycle/early-cgroup.ts';
import { CLIENT_VERBS } from './client-verbs.ts';
import { leaveIfConfined } from './confine/sentry.ts';
import { runProgram } from './program.ts';
import { createCommand, runCommand } from './verbs/create.ts';
import { doCommand } from './verbs/do.ts';
import { featuresCommand } from './verbs/features.ts';
import { installCommand } from './verbs/install.ts';
import { syscallsCommand } from './verbs/syscalls.ts';

runProgram([doCommand, runCommand, createCommand, ...CLIENT_VERBS, installCommand, syscallsCommand, featuresCommand]);
leaveIfConfined(Number(process.exitCode ?? 0));
