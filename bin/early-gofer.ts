/**
 * Runs first of all, before the rest of the command is even read (bin/build.ts): launches the gofer of the verbs that always need one.
 */
import { launchEarly } from './sandbox/gofer-launch.ts';

if (process.argv[2] === 'do') launchEarly();
