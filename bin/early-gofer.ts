/**
 * Imported first of all by the command: launches the gofer of the verbs that always need one, while the rest of the program is loaded.
 */
import { launchEarly } from './sandbox/gofer-launch.ts';

if (process.argv[2] === 'do') launchEarly();
