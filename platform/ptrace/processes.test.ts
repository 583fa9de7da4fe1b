/** The platform in processes of its own. */
import { processesSuite } from '../../test/platform/processes-suite.ts';

const SYS_PTRACE = 101;

processesSuite('ptrace', [[SYS_PTRACE, /^this host forbids ptrace \(EPERM .*\)\n$/]]);
