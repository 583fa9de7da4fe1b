/** The platform in processes of its own. */
import { processesSuite } from '../../test/platform/processes-suite.ts';

const SYS_SECCOMP = 317;
const SYS_PROCESS_VM_READV = 310;

processesSuite('seccomp', [
  [SYS_SECCOMP, /^this host forbids seccomp filters with a listener \(EPERM.*\)\n$/],
  [SYS_PROCESS_VM_READV, /^reading guest memory: this host forbids .*\n$/],
]);
