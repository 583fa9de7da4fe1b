/**
 * The `tsvisor` command for verbs that ask a sandbox which is there already: clients call several for each container, so they must start fast.
 * bin/tsvisor chooses this program by the verb; it has no kernel in it.
 */
import { CLIENT_VERBS } from './client-verbs.ts';
import { runProgram } from './program.ts';

runProgram(CLIENT_VERBS);
